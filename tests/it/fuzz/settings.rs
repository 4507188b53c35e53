//! The configuration: every problem is told with its place, and no file ends the process in another way.

use proptest::prop_assert;
use redrive::config::Config;

use super::mutation::Corpus;
use super::{alone, storm};

#[test]
fn a_configuration_is_read_or_every_problem_names_its_place() {
    alone("fuzz::settings::a_configuration_is_read_or_every_problem_names_its_place", || {
        let entries = [
            include_str!("../../../src/config/default.toml"),
            include_str!("../../../deploy/dev/redrive.toml"),
            include_str!("../../../deploy/test/redrive.toml"),
            "[[bus]]\nid = \"prod\"\nkind = \"kafka\"\nbootstrap_servers = \"127.0.0.1:9092\"\nclient = { \"linger.ms\" = 5 }\n\
             [bus.dead_letters]\npatterns = [\"*.failed\"]\n[[bus.otlp_topics]]\ntopic = \"spans\"\nencoding = \"auto\"\n",
            "",
        ];
        let tokens = ["[[bus]]\n", "[", "{", "=", "\"", "'''", "a.", "[http]\n", "\n", "1e400", "1979-05-27T07:32:00Z", "\u{feff}", "0x"];
        storm(&Corpus::new(entries, tokens), |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let read = Config::parse(Some("redrive.toml".to_owned()), &text, [], &redrive::app::CHECKS);
            if let Err(problems) = read {
                prop_assert!(!problems.0.is_empty());
                for problem in &problems.0 {
                    prop_assert!(!problem.file.is_empty() && !problem.expected.is_empty(), "{problem:?}");
                }
            }
            Ok(())
        });
    });
}
