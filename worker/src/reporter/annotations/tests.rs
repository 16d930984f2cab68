//! Logs and the remarks in them.

use test_case::test_case;

use super::*;

/// One line for each remark.
fn shown(log: &str) -> String {
    let show = |annotation: &Annotation| {
        let column = annotation.start_column.map(|column| format!(":{column}")).unwrap_or_default();
        let Annotation { path, start_line, level, message, .. } = annotation;
        format!("{level:?} {path}:{start_line}{column} {message}")
    };
    of([log]).iter().map(show).collect::<Vec<_>>().join("\n")
}

#[test_case("src/a.c:3:5: error: expected ';'" => "Failure src/a.c:3:5 error: expected ';'"; "gcc")]
#[test_case("/work/a.c:3:5: warning: unused" => "Warning a.c:3:5 warning: unused"; "whole path")]
#[test_case("a.c:2:1: note: declared here" => "Notice a.c:2:1 note: declared here"; "note")]
#[test_case("main.py:7: error: Name \"x\" is not defined  [name-defined]" => "Failure main.py:7 error: Name \"x\" is not defined  [name-defined]"; "mypy")]
#[test_case("./a.py:1:1: F401 'os' imported but unused" => "Warning a.py:1:1 F401 'os' imported but unused"; "flake8")]
#[test_case("tests/test_a.py:3: AssertionError: no" => "Failure tests/test_a.py:3 AssertionError: no"; "pytest")]
#[test_case("src/a.ts(3,5): error TS2322: no" => "Failure src/a.ts:3:5 error TS2322: no"; "tsc")]
#[test_case("\u{1b}[96msrc/a.ts\u{1b}[0m:\u{1b}[93m3\u{1b}[0m:\u{1b}[93m5\u{1b}[0m - \u{1b}[91merror\u{1b}[0m TS2322: no" => "Failure src/a.ts:3:5 error TS2322: no"; "tsc in colours")]
#[test_case("Program.cs(12): warning CS0168: unused" => "Warning Program.cs:12 warning CS0168: unused"; "msvc")]
#[test_case("Makefile:3: *** missing separator.  Stop." => "Warning Makefile:3 *** missing separator.  Stop."; "make")]
#[test_case("a.c:0: error: no such line" => ""; "line 0")]
#[test_case("12:30:45: started" => ""; "time")]
#[test_case("127.0.0.1:8080: connection refused" => ""; "address")]
#[test_case("example.com:443: handshake failed" => ""; "host")]
#[test_case("http://localhost.dev:80: no" => ""; "url")]
#[test_case("../a.c:3: error: outside" => ""; "parent folder")]
#[test_case("/etc/passwd.c:3: error: outside" => ""; "elsewhere")]
#[test_case("node_modules/a/b.js:3: error: foreign" => ""; "dependency")]
#[test_case("see a.c:3: error" => ""; "sentence")]
#[test_case("a.c:3:\u{0}: error" => ""; "no message")]
#[test_case("a.c:99999999: error: far" => ""; "too far")]
fn of_a_line(line: &str) -> String {
    shown(line)
}

#[test]
fn of_python_the_last_frame_in_the_repository_counts() {
    insta::assert_snapshot!(shown(r#"
Traceback (most recent call last):
  File "/work/main.py", line 9, in <module>
    work()
    ~~~~^^
  File "/work/lib/work.py", line 3, in work
    json.loads("{")
  File "/usr/lib/python3.13/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
json.decoder.JSONDecodeError: Expecting property name

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/work/main.py", line 11, in <module>
    raise SystemExit(3)
ValueError
  File "/work/broken.py", line 2
    def (
        ^
SyntaxError: invalid syntax
Traceback (most recent call last):
  File "<string>", line 1, in <module>
NameError: name 'x' is not defined
"#), @r"
    Failure lib/work.py:3 json.decoder.JSONDecodeError: Expecting property name
    Failure main.py:11 ValueError
    Failure broken.py:2 SyntaxError: invalid syntax
    ");
}

#[test]
fn of_rust_the_arrow_counts_and_a_panic_too() {
    insta::assert_snapshot!(shown(r"
   Compiling hello v0.1.0 (/work)
warning: unused variable: `x`
 --> src/main.rs:2:9
  |
2 |     let x = 1;
  |         ^

error[E0308]: mismatched types
 --> src/lib.rs:3:5
  |
note: expected because of this
 --> src/lib.rs:1:1

error: could not compile `hello` (bin) due to 1 previous error

thread 'main' panicked at src/main.rs:4:5:
index out of bounds
thread 'a' panicked at /rustc/0123/library/core/src/option.rs:1:1:
no
"), @r"
    Warning src/main.rs:2:9 warning: unused variable: `x`
    Failure src/lib.rs:3:5 error[E0308]: mismatched types
    Failure src/main.rs:4:5 panicked: index out of bounds
    ");
}

#[test]
fn of_node_the_first_frame_in_the_repository_counts() {
    insta::assert_snapshot!(shown(r"
/work/x.js:3
  throw new TypeError('boom')
  ^

TypeError: boom
    at f (/work/node_modules/a/index.js:1:1)
    at Object.<anonymous> (/work/x.js:3:9)
    at Module._compile (node:internal/modules/cjs/loader:1554:14)

Node.js v22.1.0
/work/y.js:7
const = 1
      ^

SyntaxError: Unexpected token '='
    at wrapSafe (node:internal/modules/cjs/loader:1469:18)
caught: Error: no
RangeError: deep
    at async file:///work/src/z.mjs:5:11
Exception in thread: java.lang.Error
    at com.example.Main(Main.java:12)
"), @r"
    Failure x.js:3:9 TypeError: boom
    Failure y.js:7 SyntaxError: Unexpected token '='
    Failure src/z.mjs:5:11 RangeError: deep
    ");
}

#[test]
fn a_remark_is_made_once_and_of_too_many_the_graver_are_kept() {
    let mut log: String = (1..=300).map(|n| format!("a.c:{n}: warning: w\n")).collect();
    log.push_str(&"b.c:1: error: e\n".repeat(3));
    let found = of([log.as_str()]);
    assert_eq!(found.len(), MAX);
    assert_eq!(found.iter().filter(|annotation| annotation.path == "b.c").count(), 1);
}

#[test]
fn a_long_message_is_cut_between_characters_and_has_no_control_characters() {
    let found = of([format!("a.c:1: {}\u{7}", "é".repeat(70_000)).as_str()]);
    assert_eq!(found[0].message.len(), 4096);
    assert!(!found[0].message.contains(char::is_control));
}
