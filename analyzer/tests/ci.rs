//! What `analyzer/ci` gives to pipelines, run as a pipeline runs it: the steps of the files themselves, with their inputs.

#![expect(clippy::unwrap_used, reason = "what a test prepares must be there")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_yaml::Value;

/// What a pipeline left behind.
struct Pipeline {
    directory: tempfile::TempDir,
    /// How each step ended.
    codes: Vec<i32>,
}

impl Pipeline {
    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn template(name: &str) -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(root().join("analyzer/ci").join(name)).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Runs a script in a directory, in an environment with nothing but the program's folder on the path and these variables.
fn run(directory: &Path, script: &str, variables: &BTreeMap<String, String>) -> i32 {
    let own = Path::new(env!("CARGO_BIN_EXE_flowtape")).parent().unwrap();
    let status = Command::new("bash")
        .args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script])
        .current_dir(directory)
        .env_clear()
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", own.display()))
        .env("GITHUB_STEP_SUMMARY", directory.join("summary.md"))
        .envs(variables)
        .output()
        .unwrap();
    status.status.code().unwrap()
}

/// The steps of the action. Those that run always also run after a failure.
fn github(given: &[(&str, &str)]) -> Pipeline {
    let action = template("action.yml");
    let inputs = action["inputs"].as_mapping().unwrap();
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for (name, input) in inputs {
        let given = given
            .iter()
            .find(|(given, _)| *given == text(name))
            .map(|(_, value)| *value);
        let value = given.or_else(|| input.get("default").and_then(Value::as_str));
        values.insert(
            format!("${{{{ inputs.{} }}}}", text(name)),
            value.unwrap_or_else(|| panic!("{name:?}")).to_owned(),
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let mut codes = Vec::new();
    for step in action["runs"]["steps"].as_sequence().unwrap() {
        let script = text(&step["run"]);
        // An input inside a script could end it and go on as it likes.
        assert!(!script.contains("${{"), "{script}");
        let always = step
            .get("if")
            .is_some_and(|condition| text(condition) == "${{ always() }}");
        if codes.iter().any(|code| *code != 0) && !always {
            continue;
        }
        let variables = step["env"].as_mapping().unwrap().iter();
        let variables = variables.map(|(name, value)| (text(name).to_owned(), values[text(value)].clone()));
        codes.push(run(directory.path(), script, &variables.collect()));
    }
    Pipeline { directory, codes }
}

/// The script of the template's job.
fn gitlab(given: &[(&str, &str)]) -> Pipeline {
    let template = template("gitlab.yml");
    let job = &template[".flowtape"];
    let defaults = job["variables"].as_mapping().unwrap().iter();
    let mut variables: BTreeMap<String, String> = defaults
        .map(|(name, value)| (text(name).to_owned(), text(value).to_owned()))
        .collect();
    variables.extend(
        given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    let lines: Vec<&str> = job["script"].as_sequence().unwrap().iter().map(text).collect();
    let directory = tempfile::tempdir().unwrap();
    let codes = vec![run(directory.path(), &lines.join("\n"), &variables)];
    assert_eq!(text(&job["artifacts"]["reports"]["junit"]), "$REPORTS/flowtape.xml");
    Pipeline { directory, codes }
}

fn tape(name: &str) -> String {
    root().join("testdata/tapes").join(name).display().to_string()
}

/// The failures of a JUnit report, by name.
fn failures(report: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(report).unwrap_or_else(|error| panic!("{error}: {report}"));
    let cases = document.descendants().filter(|node| node.has_tag_name("testcase"));
    let failed = cases.filter(|case| case.children().any(|child| child.has_tag_name("failure")));
    failed
        .filter_map(|case| case.attribute("name"))
        .map(str::to_owned)
        .collect()
}

const ADDED: &str = "dvwa/CronJob/dvwa-report -> dvwa/Deployment/dvwa-mysql TCP 3306";

#[test]
fn a_pipeline_fails_with_exactly_the_edge_that_was_added() {
    let (before, after) = (tape("dvwa"), tape("dvwa-2"));
    let run = github(&[("before", &before), ("after", &after)]);
    assert_eq!(run.codes, [1, 0]);
    assert_eq!(failures(&run.file("flowtape-reports/flowtape.xml")), [ADDED]);
    let summary = run.file("summary.md");
    assert!(
        summary.starts_with("### flowtape diff: failed") && summary.contains(ADDED),
        "{summary}"
    );

    let run = gitlab(&[("BEFORE", &before), ("AFTER", &after)]);
    assert_eq!(run.codes, [1]);
    assert_eq!(failures(&run.file("flowtape-reports/flowtape.xml")), [ADDED]);
}

#[test]
fn a_pipeline_passes_where_nothing_changed_or_somebody_accepted_it() {
    let (before, after) = (tape("dvwa"), tape("dvwa-2"));
    let accepted = "[[accept]]\nfrom = \"dvwa/dvwa-report\"\nto = \"dvwa/dvwa-mysql\"\nreason = \"a test\"\n";
    let lab = tempfile::tempdir().unwrap();
    let path = lab.path().join("accepted.toml");
    std::fs::write(&path, accepted).unwrap();
    let baseline = path.display().to_string();
    for (given, passed) in [
        (vec![("before", before.as_str()), ("after", before.as_str())], true),
        (
            vec![("before", &before), ("after", &after), ("fail-on", "removed")],
            true,
        ),
        (
            vec![("before", &before), ("after", &after), ("baseline", &baseline)],
            true,
        ),
        (
            vec![("before", &before), ("after", &after), ("fail-on", "added,widened")],
            false,
        ),
    ] {
        let run = github(&given);
        assert_eq!(run.codes[0] == 0, passed, "{given:?}");
        assert_eq!(
            failures(&run.file("flowtape-reports/flowtape.xml")).is_empty(),
            passed,
            "{given:?}"
        );
        let renamed = given
            .iter()
            .map(|(name, value)| (name.to_uppercase().replace('-', "_"), *value));
        let renamed: Vec<(String, &str)> = renamed.collect();
        let renamed: Vec<(&str, &str)> = renamed.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(gitlab(&renamed).codes[0] == 0, passed, "{given:?}");
    }
}

#[test]
fn a_pipeline_verifies_policies_and_says_what_is_unreadable() {
    let lab = tempfile::tempdir().unwrap();
    let policies = lab.path().join("policies").display().to_string();
    let program = env!("CARGO_BIN_EXE_flowtape");
    let made = Command::new(program)
        .args(["generate", &tape("dvwa"), "-n", "dvwa", "-o", &policies])
        .output()
        .unwrap();
    assert!(made.status.success());
    let after = tape("dvwa-2");
    let run = github(&[("verb", "verify"), ("before", &after), ("after", &policies)]);
    assert_eq!(run.codes, [1, 0]);
    assert_eq!(failures(&run.file("flowtape-reports/flowtape.xml")), [ADDED]);
    assert!(
        run.file("flowtape-reports/flowtape.sarif")
            .contains("dvwa/dvwa-mysql.yaml")
    );
    let run = gitlab(&[
        ("VERB", "verify"),
        ("BEFORE", &after),
        ("AFTER", &policies),
        ("FLOWTAPE", program),
    ]);
    assert_eq!(run.codes, [1]);
    // A verb that is none is no other one.
    let run = github(&[("verb", "Verify"), ("before", &after), ("after", &policies)]);
    assert_eq!(run.codes, [2, 0]);
    let run = gitlab(&[
        ("VERB", "Verify"),
        ("BEFORE", &after),
        ("AFTER", &policies),
        ("FLOWTAPE", program),
    ]);
    assert_eq!(run.codes, [2]);
    let run = github(&[("before", "nowhere"), ("after", &after)]);
    assert_eq!(
        (run.codes.as_slice(), run.file("summary.md").as_str()),
        ([2, 0].as_slice(), "")
    );
}
