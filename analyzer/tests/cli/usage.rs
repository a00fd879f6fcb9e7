//! How the command speaks: help and data on stdout, everything else on stderr, documented exit codes.

use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::support::{Scratch, Shown, committed};

#[test]
fn mistakes_in_the_arguments_say_how_it_is_done_right() {
    let scratch = Scratch::new();
    for (arguments, what) in [
        ("", "Usage: flowtape"),
        ("dream", "unrecognized subcommand 'dream'"),
        ("inspect", "<TAPE>..."),
        (
            "inspect tape --format xml",
            "[possible values: text, json, csv, parquet, markdown, sarif, junit]",
        ),
        ("inspect tape --threads 0", "invalid value '0' for '--threads <N>'"),
        (
            "inspect tape --format csv",
            "only `flows`, `query` and `connectivity` have rows for `--format csv`",
        ),
        (
            "generate tape --format parquet",
            "only `flows` and `query` have rows for `--format parquet`",
        ),
        ("query tape", "<TAPE>... <SQL>"),
        ("schema cluster", "[possible values: tape, query, import]"),
        ("flows tape --from a/b/c/d", "write NAMESPACE, NAMESPACE/NAME, "),
        (
            "flows tape --to role:boss",
            "no role `boss`; there are kubelet, own-node, ",
        ),
        ("flows tape --port https", "write PORT, FIRST-LAST, or either with /TCP"),
        ("flows tape --outcome lost", "[possible values: established, refused, "),
        (
            "flows tape --since yesterday",
            "expected RFC 3339, such as `2026-01-01T00:00:00Z`",
        ),
        ("generate tape --force", "--output <DIR>"),
        ("diff a b --fail-on sometimes", "[possible values: added"),
    ] {
        let Shown { code, stdout, stderr } = scratch.run(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments}: {stderr}");
        assert!(stderr.contains(what), "`{arguments}` shows\n{stderr}");
    }
}

#[test]
fn help_teaches_and_names_the_exit_codes() {
    let scratch = Scratch::new();
    for (verb, says) in [
        ("", "All verbs work offline on files"),
        ("inspect", "Health comes first"),
        ("flows", "Filters narrow the list, and nothing else"),
        ("generate", "every rule is needed by some recorded connection"),
        ("diff", "the prefixes `tape:` and `policy:` force it"),
        ("verify", "something would be denied that the baseline does not accept"),
        ("query", "The same recording and the same query give the same rows"),
        ("explain", "Explains a finding by its code"),
    ] {
        let Shown { code, stdout, stderr } = scratch.run(&format!("{verb} --help"));
        assert_eq!((code, stderr.as_str()), (0, ""), "{verb}");
        assert!(stdout.contains("Examples:\n  flowtape "), "{verb}: {stdout}");
        let words = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(says), "{verb}: {stdout}");
    }
    let help = scratch.run("--help").stdout;
    for line in [
        "Exit codes:",
        "  0    done\n",
        "  1    done, and",
        "  2    bad usage",
        "  101  a bug",
        "  130  interrupted",
    ] {
        assert!(help.contains(line), "`{line}` is not in\n{help}");
        assert!(
            scratch.run("-h").stdout.contains(line),
            "`{line}` is not in the short help"
        );
    }
}

#[test]
fn every_code_is_listed_and_explained() {
    let scratch = Scratch::new();
    let list = scratch.run("explain").stdout;
    assert!(list.lines().count() > 20);
    for line in list.lines() {
        let code = line.split_whitespace().next().unwrap();
        let page = scratch.run(&format!("explain {}", code.to_lowercase()));
        assert!(
            page.code == 0 && page.stdout.starts_with(&format!("# {code}: ")),
            "{code}"
        );
    }
    let unknown = scratch.shown("explain FT9999");
    assert_eq!(
        unknown,
        "exit 2\n--- stdout\n--- stderr\nerror: there is no finding with the code `FT9999`\n\nhint: `flowtape explain` lists every code; of a recording, \
         say what is asked: `--rule`, `--edge`, or `--from`, `--to` and `--port`\n"
    );
}

#[test]
#[cfg(not(feature = "query"))]
fn a_build_without_sql_says_how_to_get_one_with_it() {
    let scratch = Scratch::new();
    scratch.files("tape", &committed("dvwa"));
    let shown = scratch.shown("query tape SELECT");
    assert_eq!(
        shown,
        "exit 2\n--- stdout\n--- stderr\nerror: this build of `flowtape` cannot answer queries\n\nhint: install one that can: \
         `cargo install --locked --path analyzer --features query`\n"
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let scratch = Scratch::new();
    scratch.files("tape", &committed("dvwa"));
    for arguments in [
        &["schema"][..],
        &["inspect", "tape"],
        &["inspect", "tape", "--format", "json"],
        &["--help"],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_flowtape"))
            .args(arguments)
            .current_dir(scratch.path(""))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
        assert!(!stderr.contains("error"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn json_has_the_documented_envelope_and_says_nothing_on_stderr() {
    let scratch = Scratch::new();
    scratch.files("tape", &committed("dvwa"));
    for verb in ["inspect", "generate"] {
        let Shown { code, stdout, stderr } = scratch.run(&format!("{verb} tape --format json"));
        assert_eq!((code, stderr.as_str()), (0, ""));
        let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(document["schema"], format!("flowtape.{verb}/v1"));
        assert_eq!(document["tool"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(document["inputs"][0]["kind"], "tape");
        assert_eq!(document["health"]["complete"], true);
        for finding in document["findings"].as_array().unwrap() {
            for field in ["code", "severity", "count", "message"] {
                assert!(!finding[field].is_null(), "{finding}");
            }
        }
    }
}
