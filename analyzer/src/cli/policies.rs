//! The door to policies on disk: finds and reads the files, and leaves what they mean to `parse`.

use std::fmt::Write as _;
use std::fs::{self, DirEntry, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use flowtape_schemas::manifest::sha256_hex;

use super::args::reading::Reading;
use super::failure::Failure;
use super::output;
use crate::escape::escaped;
use crate::findings::{Code, Findings};
use crate::json::Input;
use crate::parse::kubernetes::{Parsed, parse};
use crate::parse::report::Skipped;
use crate::policy::cluster::ClusterPeer;
use crate::policy::kind::PolicyKind;
use crate::policy::model::PolicySet;
use crate::policy::profile::Profile;
use crate::policy::reading::read_by;
use crate::policy::tie::ties;
use crate::semantics::entity::{a_prefix_holds_a_pod, not_known, rules_by_prefix};
use crate::semantics::eval::By;
use crate::semantics::world::World;

/// The largest file of policies: 20 times what a cluster with 5,000 policies prints.
const FILE_BYTES: u64 = 64 << 20;

/// Files and directories that are looked at below one path.
const ENTRIES: usize = 1 << 20;

/// Nested directories that are gone into.
const DEPTH: usize = 64;

/// What ends the name of a file that can hold policies.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Policies from disk.
pub(super) struct Policies {
    /// What they are, and what in the files is none or probably not meant.
    pub(super) parsed: Parsed,
    /// What they are called in a document: by their texts, not by where they lie.
    pub(super) input: Input,
}

/// Reads the policies of a file, or of every file below a directory. Hidden files and directories are passed over, as
/// `.git` is; links are refused, not passed over, so that no policy is missed in silence.
pub(super) fn read(path: &Path, profile: Profile) -> Result<Policies, Failure> {
    let (mut texts, faults) = texts(path)?;
    if texts.is_empty() && faults.is_empty() {
        return Err(Failure::plain(format!(
            "no policies: there is no `.yaml`, `.yml` or `.json` file below `{}`",
            path.display()
        ))
        .hint("`flowtape generate TAPE -o DIR` writes policies"));
    }
    texts.retain(|(name, text)| !is_report(name, text));
    let parsed = parsed(path, &texts, faults)?;
    Ok(Policies {
        parsed: Parsed {
            set: read_by(profile, parsed.set),
            ..parsed
        },
        input: input("policies", &texts),
    })
}

/// The files of a directory that can hold policies, by name, and the NetworkPolicies in them. One that is not there holds none.
pub(super) fn held(path: &Path) -> Result<(Vec<(String, String)>, PolicySet), Failure> {
    if path.is_file() {
        let place = path.display();
        return Err(Failure::plain(format!(
            "`{place}` is a file, give the directory that holds the policies"
        )));
    }
    let (mut texts, faults) = if path.exists() {
        texts(path)?
    } else {
        (Vec::new(), Vec::new())
    };
    texts.retain(|(name, text)| !is_report(name, text));
    let parsed = parsed(path, &texts, faults)?;
    Ok((texts, parsed.set.of_kind(PolicyKind::NetworkPolicy)))
}

fn parsed(path: &Path, texts: &[(String, String)], mut faults: Vec<String>) -> Result<Parsed, Failure> {
    let pairs = texts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let parsed = parse(pairs);
    if let Err(problems) = &parsed {
        faults.extend(problems.0.iter().map(ToString::to_string));
    }
    match parsed {
        Ok(parsed) if faults.is_empty() => Ok(parsed),
        Ok(_) | Err(_) => Err(Failure::Told {
            message: format!("policies cannot be used: `{}`", path.display()),
            causes: faults,
            hint: None,
        }),
    }
}

/// Says what in the files is no policy, or probably not meant so, and reports what may decide otherwise.
pub(super) fn say_what_is_odd(parsed: &Parsed, findings: &mut Findings) {
    for warning in &parsed.warnings {
        output::say(&format!("warning: {}", escaped(&warning.to_string())));
    }
    if let Some(first) = parsed.skipped.first() {
        let (count, place, kind) = (parsed.skipped.len(), &first.place, &first.kind);
        let told =
            format!("note: {count} objects that are no NetworkPolicy were left alone, the first a {kind} in {place}");
        output::say(&escaped(&told));
    }
    report_unread(parsed, findings);
    report_of_cluster(&parsed.set, findings);
    for refusal in &parsed.refused {
        findings.report(Code::PolicyNotEvaluated, refusal.to_string());
    }
    for policy in &parsed.staged {
        findings.report(
            Code::PolicyStaged,
            format!("{} is staged, and not enforced", By::of(policy, None)),
        );
    }
}

/// Reports whom rules name and nobody is known to be.
pub(super) fn say_who_is_not_known(set: &PolicySet, world: &World, findings: &mut Findings) {
    for (entity, rules) in not_known(set, world) {
        let message =
            format!("which addresses are meant by `{entity}` is not known, so rules that name it match nobody");
        findings.report_many(Code::PeerNotKnown, message, rules);
    }
}

/// The same, and how prefixes are read where that makes a difference.
pub(super) fn say_how_it_is_read(set: &PolicySet, world: &World, reading: Reading, findings: &mut Findings) {
    say_who_is_not_known(set, world, findings);
    let rules = rules_by_prefix(set);
    if rules > 0 && (reading.cni.is_some() || a_prefix_holds_a_pod(set, world)) {
        let profile = reading.profile();
        let means = if profile.blocks_match_the_cluster() {
            "matches whoever has the address, pods and nodes of the cluster as well"
        } else {
            "matches who is outside the cluster, no pods and no nodes"
        };
        let message = format!("read as by `--cni {}`: an `ipBlock` {means}", profile.word());
        findings.report_many(Code::PrefixReading, message, rules);
    }
}

/// Reports what of policies of the cluster cannot be said, and how it is read instead.
fn report_of_cluster(set: &PolicySet, findings: &mut Findings) {
    for (first, second) in ties(set) {
        let tier = first.tier.name();
        findings.report(
            Code::EqualPriority,
            format!("tier {tier}: {first} is asked before {second}, and a cluster may do otherwise"),
        );
    }
    for (policy, rule) in set.rules_of_cluster() {
        let place = rule
            .source
            .as_ref()
            .map(|source| format!("{source}: "))
            .unwrap_or_default();
        let whose = format!("{place}{} {}", policy.kind.name(), policy.name);
        for peer in &rule.peers {
            match peer {
                ClusterPeer::Nodes(nodes) if !nodes.is_everything() => {
                    let meant = if rule.takes_every_node(nodes) {
                        "every node"
                    } else {
                        "no node"
                    };
                    findings.report(
                        Code::NodeLabelsUnknown,
                        format!("{whose}: `{peer}` is taken for {meant}"),
                    );
                }
                ClusterPeer::Domains(_) => {
                    findings.report(
                        Code::DomainNamesUnknown,
                        format!("{whose}: `{peer}` is taken for nobody"),
                    );
                }
                ClusterPeer::Plain(_) | ClusterPeer::Nodes(_) => {}
            }
        }
    }
}

/// API groups whose objects decide about traffic beside NetworkPolicy.
const DECIDING: [&str; 5] = [
    "policy.networking.k8s.io",
    "cilium.io",
    "projectcalico.org",
    "crd.projectcalico.org",
    "crd.antrea.io",
];

/// Reports objects that were left alone and may decide otherwise than the policies that were read.
fn report_unread(parsed: &Parsed, findings: &mut Findings) {
    for Skipped {
        api_version,
        kind,
        place,
    } in &parsed.skipped
    {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        if DECIDING.contains(&group) && kind.ends_with("Policy") {
            findings.report(
                Code::PolicyNotRead,
                format!("{place}: a {kind} of {api_version} is not read"),
            );
        }
    }
}

/// Whether there is a file below a directory that can hold policies, apart from the manifest of a tape.
pub(super) fn any_below(path: &Path) -> Result<bool, Failure> {
    Ok(files(path)?
        .iter()
        .any(|(name, _)| name != flowtape_schemas::manifest::MANIFEST_FILE))
}

/// The names and texts of files, by name.
pub(super) type Texts = Vec<(String, String)>;

/// Those of a file, or of every file below a directory, and which of them cannot be read and why.
pub(super) fn texts(path: &Path) -> Result<(Texts, Vec<String>), Failure> {
    let mut texts = Vec::new();
    let mut faults = Vec::new();
    for (name, file) in files(path)? {
        match text(&file) {
            Ok(text) => texts.push((name, text)),
            Err(fault) => faults.push(format!("`{name}`: {fault}")),
        }
    }
    Ok((texts, faults))
}

/// Names below the path given, with `/` between the parts, and where the files are; sorted by name.
fn files(path: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let metadata = fs::metadata(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return Failure::plain(format!("no such file or directory: `{}`", path.display()));
        }
        Failure::of(format!("cannot read `{}`", path.display()), &error)
    })?;
    if !metadata.is_dir() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![(name, path.to_owned())]);
    }
    let mut walk = Walk {
        root: path,
        seen: 0,
        files: Vec::new(),
    };
    walk.directory(path, "", 0)?;
    walk.files.sort();
    Ok(walk.files)
}

struct Walk<'a> {
    root: &'a Path,
    seen: usize,
    files: Vec<(String, PathBuf)>,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Path, prefix: &str, depth: usize) -> Result<(), Failure> {
        let fail = |error: io::Error| Failure::of(format!("cannot read `{}`", directory.display()), &error);
        for entry in fs::read_dir(directory).map_err(fail)? {
            self.entry(&entry.map_err(fail)?, prefix, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, prefix: &str, depth: usize) -> Result<(), Failure> {
        self.seen += 1;
        if self.seen > ENTRIES || depth > DEPTH {
            return Err(Failure::plain(format!(
                "more than {ENTRIES} entries or {DEPTH} levels, which is no directory of policies: `{}`",
                self.root.display()
            )));
        }
        let Ok(name) = entry.file_name().into_string() else {
            return Err(Failure::plain(format!(
                "the name of a file is not UTF-8, rename it: `{}`",
                entry.path().display()
            )));
        };
        if name.starts_with('.') {
            return Ok(());
        }
        let fail = |error: io::Error| Failure::of(format!("cannot read `{}`", entry.path().display()), &error);
        let kind = entry.file_type().map_err(fail)?;
        let name = format!("{prefix}{name}");
        if kind.is_dir() {
            return self.directory(&entry.path(), &format!("{name}/"), depth + 1);
        }
        let ending = Path::new(&name).extension().and_then(|ending| ending.to_str());
        let is_policies = ending.is_some_and(|ending| ENDINGS.contains(&ending));
        if !kind.is_file() && (is_policies || kind.is_symlink()) {
            return Err(Failure::plain(format!(
                "`{name}` is a link or a special file, which is not followed: `{}`",
                self.root.display()
            ))
            .hint("give the directory or file that it leads to"));
        }
        if is_policies {
            self.files.push((name, entry.path()));
        }
        Ok(())
    }
}

/// Whether a file is what `flowtape` itself writes beside policies.
fn is_report(name: &str, text: &str) -> bool {
    let document = || serde_json::from_str::<serde_json::Value>(text).ok();
    let is_json = Path::new(name).extension().is_some_and(|ending| ending == "json");
    let schema = is_json.then(document).flatten();
    let schema = schema.as_ref().and_then(|document| document.get("schema")?.as_str());
    schema.is_some_and(|schema| schema.starts_with("flowtape."))
}

/// The text of a file, or why it cannot be had.
pub(super) fn text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    // One byte more than is accepted tells a file that is too long, even one that grows.
    let mut bounded = file.take(FILE_BYTES + 1);
    bounded
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(format!("is larger than {FILE_BYTES} bytes, split it"));
    }
    String::from_utf8(bytes).map_err(|error| format!("is not UTF-8: {error}"))
}

/// By the names and texts of the files, each preceded by its length, so that no two different sets share a hash.
pub(super) fn input(kind: &'static str, texts: &[(String, String)]) -> Input {
    let mut all = String::new();
    for part in texts.iter().flat_map(|(name, text)| [name, text]) {
        let _ = write!(all, "{}:{part}", part.len());
    }
    Input {
        kind,
        id: sha256_hex(all.as_bytes())[..16].to_owned(),
    }
}
