//! Files that are compiled in but that the compiler does not see being read: a change of theirs alone must make a new binary.

fn main() {
    for folder in ["static", "templates", "migrations"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
