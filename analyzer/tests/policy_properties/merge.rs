//! Merging into manifests that are there: nothing is lost, what is needed is there afterwards, and a second time
//! changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use flowtape::merge::change::Kind;
use flowtape::merge::uncovered::uncovered;
use flowtape::merge::{Merged, Settings, Wanted, merge};
use flowtape::parse::kubernetes::parse;
use flowtape::policy::model::{Direction, PolicySet};
use flowtape::render::kubernetes::manifests;
use flowtape::semantics::eval::{Basis, side};
use flowtape_schemas::time::Time;
use proptest::collection::vec;
use proptest::prelude::{Strategy as _, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;

use super::arbitrary::{policy_set, quiet, small_selector};
use super::evaluation::{connections, world};

const DAY: i64 = 86_400_000_000_000;

fn settings(day: i64, prune_after: Option<i64>) -> Settings {
    Settings {
        window: Some((Time(day * DAY), Time((day + 1) * DAY))),
        prune_after,
    }
}

fn merged(files: &[(String, String)], set: &PolicySet, settings: Settings) -> Merged {
    let present: BTreeSet<String> = files.iter().map(|(name, _)| name.clone()).collect();
    let wanted = Wanted {
        set,
        apart: set,
        recorded: set,
    };
    merge(files, &present, wanted, &BTreeSet::new(), settings).unwrap_or_else(|error| panic!("{error}\n{files:#?}"))
}

/// The files after a merge.
fn after(files: &[(String, String)], merged: &Merged) -> Vec<(String, String)> {
    let mut all: BTreeMap<String, String> = files.iter().cloned().collect();
    all.extend(merged.files.clone());
    all.into_iter().collect()
}

fn read(files: &[(String, String)]) -> PolicySet {
    parse(files.iter().map(|(name, text)| (name.as_str(), text.as_str())))
        .unwrap()
        .set
}

fn one_file(set: &PolicySet) -> Vec<(String, String)> {
    vec![("all.yaml".to_owned(), manifests(set).unwrap())]
}

/// Whether the lines of one text stand in another, in order, but for those that a merge may write anew.
fn stands_in(before: &str, after: &str) -> bool {
    let mut lines = after.lines();
    let stays = |line: &&str| !line.ends_with("[]") && !line.contains("# flowtape: ");
    before
        .lines()
        .filter(stays)
        .all(|line| lines.any(|other| other == line))
}

proptest! {
    #![proptest_config(quiet())]

    #[test]
    fn an_empty_directory_gets_the_policies_and_a_second_time_nothing(set in policy_set(small_selector().boxed())) {
        let first = merged(&[], &set, settings(0, None));
        let files = after(&[], &first);
        prop_assert_eq!(read(&files).bare(), set.bare());
        let second = merged(&files, &set, settings(1, None));
        prop_assert!(second.files.is_empty(), "{:?}", second.changes);
        prop_assert!(second.changes.iter().all(|change| !change.kind.edits()));
    }

    /// What was there is there, line by line, and what is needed is allowed wherever the policies of either isolate.
    #[test]
    fn nothing_is_lost_and_what_is_needed_is_there(
        old in policy_set(small_selector().boxed()),
        new in policy_set(small_selector().boxed()),
        world in world(),
    ) {
        // The same policies select the same pods here; another selector is a case of its own.
        let new = PolicySet::new(new.iter().map(|policy| {
            let subject = old.namesake(policy).map_or(&policy.subject, |old| &old.subject);
            flowtape::policy::model::Policy { subject: subject.clone(), ..policy.clone() }
        })).unwrap();
        let files = one_file(&old);
        let merge = merged(&files, &new, settings(0, None));
        let files = after(&files, &merge);
        prop_assert!(stands_in(&manifests(&old).unwrap(), &files.iter().find(|(name, _)| name == "all.yaml").unwrap().1));
        let both = read(&files);
        for connection in connections(&world) {
            for direction in [Direction::Ingress, Direction::Egress] {
                let [old, new, both] = [&old, &new, &both].map(|set| side(set, &world, &connection, direction).basis);
                let expected = match (old, new) {
                    (Basis::Rule, _) | (_, Basis::Rule) => Basis::Rule,
                    (Basis::NoRule, _) | (_, Basis::NoRule) => Basis::NoRule,
                    (other, _) => other,
                };
                prop_assert_eq!(both, expected);
            }
        }
        let again = merged(&files, &new, settings(1, None));
        prop_assert!(again.files.is_empty(), "{:?}", again.changes);
    }

    /// With a limit, what is left is what is needed, and nothing else that was there before goes.
    #[test]
    fn what_is_not_needed_goes_only_when_it_was_marked_for_long(
        old in policy_set(small_selector().boxed()),
        new in policy_set(small_selector().boxed()),
    ) {
        let marked = after(&one_file(&old), &merged(&one_file(&old), &new, settings(0, Some(7 * DAY))));
        let early = merged(&marked, &new, settings(5, Some(7 * DAY)));
        prop_assert!(early.changes.iter().all(|change| change.kind != Kind::Pruned));
        let late = merged(&marked, &new, settings(6, Some(7 * DAY)));
        let is = |kind: Kind| move |change: &&flowtape::merge::change::Change| change.kind == kind;
        let waiting = early.changes.iter().filter(is(Kind::StillMarked)).count();
        prop_assert_eq!(late.changes.iter().filter(is(Kind::Pruned)).count(), waiting);
        let last = merged(&after(&marked, &late), &new, settings(7, Some(7 * DAY)));
        prop_assert!(last.files.is_empty(), "{:?}", last.changes);
    }

    /// A recording that is not complete says nothing by what it lacks.
    #[test]
    fn an_incomplete_recording_marks_nothing(old in policy_set(small_selector().boxed()), new in policy_set(small_selector().boxed())) {
        let incomplete = Settings { window: None, prune_after: Some(0) };
        let merge = merged(&one_file(&old), &new, incomplete);
        let forbidden = [Kind::Marked, Kind::StillMarked, Kind::Pruned];
        prop_assert!(merge.changes.iter().all(|change| !forbidden.contains(&change.kind)));
    }

    /// Policies without our label keep every byte, whatever is needed.
    #[test]
    fn policies_by_hand_keep_every_byte(old in policy_set(small_selector().boxed()), new in policy_set(small_selector().boxed())) {
        let text = manifests(&old).unwrap().replace("app.kubernetes.io/managed-by: flowtape", "team: shop");
        let files = vec![("by-hand.yaml".to_owned(), text)];
        let merge = merged(&files, &new, settings(0, Some(0)));
        prop_assert!(!merge.files.contains_key("by-hand.yaml"));
        let both = read(&after(&files, &merge));
        prop_assert_eq!(both.policies().len(), old.policies().len() + new.policies().len());
    }

    /// Left out is only what the others allow anyway.
    #[test]
    fn what_is_covered_is_allowed_by_the_others(
        existing in policy_set(small_selector().boxed()),
        wanted in policy_set(small_selector().boxed()),
        world in world(),
    ) {
        let existing: Vec<_> = existing.iter().cloned().map(|mut policy| {
            policy.name = format!("by-hand-{}", policy.name);
            policy
        }).collect();
        let union = |set: &PolicySet| PolicySet::new(existing.iter().chain(set.iter()).cloned()).unwrap();
        let (all, rest) = (union(&wanted), union(&uncovered(&wanted, &existing).unwrap()));
        for connection in connections(&world) {
            for direction in [Direction::Ingress, Direction::Egress] {
                let [all, rest] = [&all, &rest].map(|set| side(set, &world, &connection, direction).basis);
                prop_assert_eq!(all, rest);
            }
        }
    }

    /// However a file was mangled: an error, or a result that means what it should, which the merge itself checks.
    #[test]
    fn mangled_files_never_make_it_panic(
        old in policy_set(small_selector().boxed()),
        new in policy_set(small_selector().boxed()),
        cuts in vec((any::<Index>(), "[-#:{}\\[\\] \n\ta-z]{0,3}"), 1..4),
    ) {
        let mut text: Vec<char> = manifests(&old).unwrap().chars().collect();
        for (at, put) in cuts {
            if !text.is_empty() {
                let at = at.index(text.len());
                text.splice(at..(at + put.len()).min(text.len()), put.chars());
            }
        }
        let files = [("all.yaml".to_owned(), text.into_iter().collect::<String>())];
        let present = BTreeSet::from(["all.yaml".to_owned()]);
        let wanted = Wanted {
            set: &new,
            apart: &new,
            recorded: &new,
        };
        if let Ok(merged) = merge(&files, &present, wanted, &BTreeSet::new(), settings(0, Some(0))) {
            read(&after(&files, &merged));
        }
    }
}
