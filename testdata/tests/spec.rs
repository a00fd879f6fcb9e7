//! The runner of specifications, with a stand-in for the `flowtape` binary.
#![expect(clippy::unwrap_used, reason = "a helper that cannot do its work has failed the test")]
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flowtape_scenario::spec::{self, Report};

/// A directory with a specification and a program that answers as a test needs it.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new(markdown: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("flowtape");
        let script = "#!/bin/sh\ncase $1 in\necho) shift; echo \"$@\";;\nls) ls \"$2\";;\ncat) cat \"$2\";;\n\
                      fail) echo out; echo err >&2; exit 3;;\nbare) printf bare;;\nesac\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let bench = Self { directory };
        std::fs::write(bench.markdown(), markdown).unwrap();
        bench
    }

    fn markdown(&self) -> PathBuf {
        self.directory.path().join("spec.md")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.markdown()).unwrap()
    }

    fn run(&self, bless: bool) -> Report {
        spec::run(&self.markdown(), &self.directory.path().join("flowtape"), bless).unwrap()
    }

    fn error(&self) -> String {
        let error = spec::run(&self.markdown(), Path::new("/nonexistent"), false)
            .unwrap_err()
            .to_string();
        error.replace(&self.directory.path().display().to_string(), "DIR")
    }
}

const SCENARIO: &str = "```scenario small\ncluster\nnode n1 172.31.0.11 pods 10.244.1.0/24\npod a/b\n```\n";

#[test]
fn what_is_printed_as_written_passes() {
    let bench = Bench::new(&format!(
        "# Title\n{SCENARIO}\n```yaml policies/p.yaml\nkind: x\n```\n\n```console\n$ flowtape echo 'two words'  x\ntwo words x\n\
         $ flowtape ls small\ncluster\nmanifest.json\nnode=n1\n$ flowtape cat policies/p.yaml\nkind: x\n$ flowtape fail\nout\n[exit 3]\n\
         $ flowtape fail 2>&1\nout\nerr\n[exit 3]\n$ flowtape bare\nbare[no newline]\n```\n"
    ));
    let report = bench.run(false);
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.commands, 6);
}

#[test]
fn what_is_printed_otherwise_is_shown_and_can_be_blessed() {
    let markdown = "Prose.\n\n````console\n$ flowtape echo a\nb\n$ flowtape fail\n````\nMore.\n";
    let bench = Bench::new(markdown);
    let report = bench.run(false);
    assert_eq!(report.failures.len(), 2);
    assert_eq!(
        report.failures[0],
        "in the block on line 3:\n$ flowtape echo a\n- b\n+ a\nstandard error:\n"
    );
    assert_eq!(bench.text(), markdown, "nothing is rewritten without being asked");
    assert!(bench.run(true).failures.is_empty());
    assert_eq!(
        bench.text(),
        "Prose.\n\n````console\n$ flowtape echo a\na\n$ flowtape fail\nout\n[exit 3]\n````\nMore.\n"
    );
    assert!(bench.run(false).failures.is_empty());
}

#[test]
fn blocks_that_make_no_sense_are_errors() {
    let cases = [
        (
            "\n```console\n$ rm -rf x\n```\n",
            "DIR/spec.md:2: expected a command such as `$ flowtape flows NAME` or `$ cat FILE`, found `rm -rf x`",
        ),
        (
            "```console\nflowtape flows\n```\n",
            "cannot run `/nonexistent`: No such file or directory (os error 2)",
        ),
        ("```yaml ../x\n```\n", "DIR/spec.md:1: `../x` is not a relative path"),
        (
            "```scenario a\ncluster\nnode\n```\n",
            "DIR/spec.md:1: line 2, column 5: expected a name of lower-case letters, digits, `-` and `.`, found the end of the line",
        ),
        (
            "```scenario a\ninclude none.scenario\n```\n",
            "cannot read `DIR/none.scenario`: No such file or directory (os error 2)",
        ),
    ];
    for (markdown, expected) in cases {
        assert_eq!(Bench::new(markdown).error(), expected);
    }
}

#[test]
fn each_scenario_passes_or_fails_by_its_name() {
    let other = SCENARIO.replace("small", "other");
    let idle = SCENARIO.replace("small", "idle");
    let bench = Bench::new(&format!(
        "# Title\n{SCENARIO}{other}{idle}\n```console\n$ flowtape ls small\nwrong\n$ flowtape echo other/x\nother/x\n```\n\n\
         ## About none\n```console\n$ flowtape echo a\na\n$ flowtape echo small.json smaller\nsmall.json smaller\n$ flowtape echo b\nc\n```\n"
    ));
    let report = bench.run(false);
    let shown = |unit: &spec::Unit| (unit.name.clone(), unit.commands, unit.failures.len());
    let units: Vec<(String, usize, usize)> = report.units.iter().map(shown).collect();
    let expected = [("small", 2, 1), ("other", 1, 0), ("idle", 0, 0), ("About none", 2, 1)];
    assert_eq!(
        units,
        expected.map(|(name, commands, failures)| (name.to_owned(), commands, failures))
    );
    assert_eq!((report.commands, report.failures.len()), (5, 2));
    let declared: Vec<String> = spec::units(&bench.text()).into_iter().map(|unit| unit.name).collect();
    assert_eq!(
        declared,
        expected.map(|(name, ..)| name.to_owned()),
        "known without running anything"
    );
}
