//! Stack traces as the languages write them.

use super::*;

fn top(stack: &str) -> Vec<String> {
    top_application_frames(stack, &[], 3).into_iter().map(|frame| frame.key).collect()
}

fn root(stack: &str) -> (&str, Option<&str>) {
    let chain = exceptions(stack);
    (chain[0].class, chain[0].message)
}

const JAVA: &str = "shop.OrderFailed: order 7\n\
\tat shop.Orders.place(Orders.java:10)\n\
\tat app//shop.Orders.lambda$all$3(Orders.java:20)\n\
\tat java.base/java.util.ArrayList.forEach(ArrayList.java:1511)\n\
\tat shop.Orders$$SpringCGLIB$$0.all(<generated>)\n\
\tat shop.Main.main(Main.kt:3)\n\
Caused by: java.sql.SQLException: duplicate key\n\
\x20 Detail: Key (id)=(7) already exists.\n\
\tat org.postgresql.Driver.run(Driver.java:5) ~[postgresql-42.jar:42]\n\
\tat shop.Store$1.save(Store.java:31)\n\
\t... 5 more\n";

#[test]
fn java() {
    assert_eq!(root(JAVA), ("java.sql.SQLException", Some("duplicate key\n  Detail: Key (id)=(7) already exists.")));
    assert_eq!(
        top(JAVA),
        ["shop.Store.save", "shop.Orders.place", "shop.Orders.lambda$all"],
        "common frames follow, without generated ones"
    );
    let parsed = parse(JAVA, &[]);
    assert_eq!(parsed.language, Language::Java);
    assert_eq!(parsed.exceptions.len(), 2);
    let (cause, outer) = (&parsed.exceptions[0], &parsed.exceptions[1]);
    assert_eq!((cause.frames.len(), cause.common, outer.frames.len()), (2, 5, 5));
    assert_eq!(cause.frames[1].file, Some("Store.java"));
    assert_eq!((cause.frames[1].line, cause.frames[1].application), (Some(31), true));
    let folded = outer.folded();
    assert_eq!(folded.len(), 4);
    assert!(matches!(&folded[2], Fold::Libraries { names, frames } if names == &["Java", "generated code"] && frames.len() == 2));
}

#[test]
fn suppressed_exceptions_are_shown_but_never_lead() {
    let stack = "a.Top: x\n\tat shop.A.b(A.java:1)\n\tSuppressed: a.Closed: y\n\t\tat shop.C.close(C.java:2)\n\tCaused by: a.Deep: z\n\t\t... 1 more\nCaused by: a.Root: r\n\t... 1 more\n";
    let parsed = parse(stack, &[]);
    let seen: Vec<_> = parsed.exceptions.iter().map(|e| (e.class.unwrap(), e.suppressed)).collect();
    assert_eq!(seen, [("a.Root", false), ("a.Top", false), ("a.Deep", true), ("a.Closed", true)]);
    assert_eq!(exceptions(stack).len(), 2);
}

#[test]
fn teams_name_their_packages() {
    let stack =
        "a.B: x\n\tat com.vendor.Lib.call(Lib.java:1)\n\tat com.acme.Shop.run(Shop.java:2)\n\tat java.lang.Thread.run(Thread.java:3)\n";
    let acme = ["com.acme.".to_owned()];
    let keys = |packages: &[String]| top_application_frames(stack, packages, 3).into_iter().map(|f| f.key).collect::<Vec<_>>();
    assert_eq!(keys(&acme), ["com.acme.Shop.run"]);
    assert_eq!(keys(&[]), ["com.vendor.Lib.call", "com.acme.Shop.run"]);
    assert_eq!(keys(&["org.other.".to_owned()]), keys(&[]), "packages that do not occur say nothing");
    let marked: Vec<_> = parse(stack, &acme).exceptions[0].frames.iter().map(|f| f.application).collect();
    assert_eq!(marked, [false, true, false]);
}

#[test]
fn dotnet() {
    let stack = "System.AggregateException: One or more errors occurred. (no stock)\n \
---> Shop.NoStockException: no stock\n   at Shop.Inventory.<Reserve>d__5.MoveNext() in /src/Inventory.cs:line 42\n\
--- End of stack trace from previous location ---\n   at System.Threading.Tasks.Task.Wait()\n   --- End of inner exception stack trace ---\n   \
at Shop.Orders.<>c__DisplayClass3_0.<Place>b__0(Order order) in C:\\src\\Orders.cs:line 7\n   at Wolverine.Runtime.Handler.Run()\n \
---> (Inner Exception #0) Shop.NoStockException: no stock\n   at Shop.Inventory.Reserve()<---\n";
    assert_eq!(root(stack), ("Shop.NoStockException", Some("no stock")));
    assert_eq!(top(stack), ["Shop.Inventory.Reserve"]);
    let parsed = parse(stack, &[]);
    assert_eq!(parsed.language, Language::DotNet);
    assert_eq!(parsed.exceptions.len(), 2);
    assert_eq!((parsed.exceptions[0].frames[0].file, parsed.exceptions[0].frames[0].line), (Some("/src/Inventory.cs"), Some(42)));
    let outer = &parsed.exceptions[1].frames;
    assert_eq!((outer[0].module, outer[0].function), (Some("Shop.Orders"), "Place"));
    assert_eq!(outer[1].library, Some("Wolverine"));
}

#[test]
fn dotnet_on_one_line_and_without_a_header() {
    let old = "A.Outer: x ---> A.Middle: y ---> A.Inner: z\r\n   at Shop.A.B()\r\n   --- End of inner exception stack trace ---\r\n   at Shop.C.D()\r\n   --- End of inner exception stack trace ---\r\n   at Shop.E.F()\r\n";
    let chain: Vec<_> = exceptions(old).iter().map(|link| link.class).collect();
    assert_eq!(chain, ["A.Inner", "A.Middle", "A.Outer"]);
    let bare = "   at Shop.Orders..ctor(String name) in /src/Orders.cs:line 3\n   at System.Activator.CreateInstance()\n";
    assert!(exceptions(bare).is_empty());
    assert_eq!(top(bare), ["Shop.Orders.ctor"]);
}

#[test]
fn python() {
    let stack = "Traceback (most recent call last):\n  File \"/srv/app/shop/store.py\", line 12, in save\n    cur.execute(sql)\n    ~~~~^^^^\n  File \"/usr/lib/python3.12/site-packages/psycopg2/extras.py\", line 9, in execute\n    pass\npsycopg2.errors.UniqueViolation: duplicate key\nDETAIL:  Key (id)=(7)\n\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"/srv/app/shop/orders.py\", line 30, in place\n    raise OrderFailed() from e\nshop.errors.OrderFailed\n";
    assert_eq!(root(stack), ("psycopg2.errors.UniqueViolation", Some("duplicate key\nDETAIL:  Key (id)=(7)")));
    assert_eq!(top(stack), ["shop/store.save"]);
    let parsed = parse(stack, &[]);
    assert_eq!(parsed.exceptions[0].frames[0].library, Some("psycopg2"), "innermost first");
    assert_eq!(parsed.exceptions[1].class, Some("shop.errors.OrderFailed"));
    assert_eq!(parsed.exceptions[1].frames[0].line, Some(30));
}

#[test]
fn go() {
    let stack = "panic: runtime error: index out of range [5] with length 3 [recovered]\n\ngoroutine 34 [running]:\nruntime/debug.Stack()\n\t/usr/local/go/src/runtime/debug/stack.go:26 +0x5e\ngithub.com/acme/shop/consume.(*Loop).run.func1()\n\t/src/consume/loop.go:40 +0x99\npanic({0x1, 0x2})\n\t/usr/local/go/src/runtime/panic.go:770 +0x132\ngithub.com/acme/shop/orders.(*Handler).Place.func1.2(...)\n\t/src/orders/handler.go:12\ngithub.com/segmentio/kafka-go.(*Reader).run(0xc0)\n\t/go/pkg/mod/github.com/segmentio/kafka-go@v0.4.47/reader.go:12 +0x1\nmain.main()\n\t/src/main.go:5 +0x1\ncreated by main.start in goroutine 1\n\t/src/main.go:3 +0x2\n";
    assert_eq!(root(stack), ("panic", Some("runtime error: index out of range [5] with length 3 [recovered]")));
    assert_eq!(top(stack), ["github.com/acme/shop/orders.(*Handler).Place.func", "main.main"], "below the panic, not the recovery");
    let frames = &parse(stack, &[]).exceptions[0].frames;
    assert_eq!((frames[0].line, frames[1].library), (Some(12), Some("kafka-go")));
}

#[test]
fn go_errors_with_a_stack() {
    let stack = "no stock\nshop/orders.Place\n\t/src/orders/place.go:12\nruntime.goexit\n\t/usr/local/go/src/runtime/asm.s:1\n";
    assert_eq!(top(stack), ["shop/orders.Place"]);
}

#[test]
fn node() {
    let stack = "OrderFailed: order 7\n    at place (/srv/app/src/orders.ts:12:9)\n    at async /srv/app/src/loop.ts:3:1\n    at process.processTicksAndRejections (node:internal/process/task_queues:95:5) {\n  [cause]: TypeError: x is not a function\n      at new Stock (file:///srv/app/src/stock.js:7:3)\n      at Object.reserve [as run] (/srv/app/node_modules/@acme/bus/index.js:1:1)\n}\n";
    assert_eq!(root(stack), ("TypeError", Some("x is not a function")));
    assert_eq!(top(stack), ["src/stock.Stock"]);
    let parsed = parse(stack, &[]);
    assert_eq!(parsed.language, Language::Node);
    assert_eq!(parsed.exceptions[0].frames[1].library, Some("@acme/bus"));
    let outer = &parsed.exceptions[1].frames;
    assert_eq!((outer[1].module, outer[1].function, outer[1].line), (Some("src/loop"), "<anonymous>", Some(3)));
    assert_eq!(outer[2].library, Some("Node.js"));
}

#[test]
fn rust() {
    let stack = "thread 'tokio-rt-worker' panicked at src/orders.rs:12:5:\nno stock\nstack backtrace:\n   0: rust_begin_unwind\n             at /rustc/59807616/library/std/src/panicking.rs:689:5\n   1: core::panicking::panic_fmt\n   2: shop::orders::place::{{closure}}::h0123456789abcdef\n             at ./src/orders.rs:12:5\n   3: <shop::Handler as tower::Service>::call\n             at ./src/handler.rs:7:1\n   4: tokio::runtime::task::poll\n             at /home/x/.cargo/registry/src/tokio/src/task.rs:1:1\n";
    assert_eq!(root(stack), ("panic", Some("no stock")));
    assert_eq!(top(stack), ["shop::orders.place", "<shop::Handler as tower::Service>.call"]);
    let frames = &parse(stack, &[]).exceptions[0].frames;
    assert_eq!((frames[2].file, frames[2].line), (Some("./src/orders.rs"), Some(12)));
}

#[test]
fn other_text_has_no_frames() {
    for text in ["", "no stack trace at all", "look at (this)", "Caused by: x", "\n\n\n", "at "] {
        assert!(top(text).is_empty(), "{text}");
    }
}
