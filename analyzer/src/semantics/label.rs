//! Which of many things have which labels: a selector is answered by a few unions and intersections.

use std::collections::BTreeMap;

use crate::policy::one_or_more::OneOrMore;
use crate::policy::select::{Selector, Test};

use super::bits::Bits;

/// Things, by number, with their labels.
pub(super) struct Labelled<'a> {
    size: usize,
    keys: BTreeMap<&'a str, Key<'a>>,
}

struct Key<'a> {
    /// Who has the key.
    any: Bits,
    /// Who has it with which value.
    values: BTreeMap<&'a str, Bits>,
}

impl<'a> Labelled<'a> {
    /// Things in their order. A label without a value is one whose value no selector names.
    pub(super) fn new<L>(things: impl ExactSizeIterator<Item = L>) -> Self
    where
        L: IntoIterator<Item = (&'a str, Option<&'a str>)>,
    {
        let size = things.len();
        let mut keys: BTreeMap<&str, Key<'_>> = BTreeMap::new();
        for (thing, labels) in things.enumerate() {
            for (key, value) in labels {
                let key = keys.entry(key).or_insert_with(|| Key {
                    any: Bits::none(size),
                    values: BTreeMap::new(),
                });
                key.any.insert(thing);
                if let Some(value) = value {
                    let with = key.values.entry(value).or_insert_with(|| Bits::none(size));
                    with.insert(thing);
                }
            }
        }
        Self { size, keys }
    }

    /// Those that a selector selects.
    pub(super) fn selected(&self, selector: &Selector) -> Bits {
        let mut selected = Bits::all(self.size);
        for requirement in selector.requirements() {
            let Some(key) = self.keys.get(requirement.key.as_str()) else {
                match requirement.test {
                    Test::In(_) | Test::Exists => return Bits::none(self.size),
                    Test::NotIn(_) | Test::DoesNotExist => continue,
                }
            };
            let with = |values: &OneOrMore<String>| {
                let mut with = Bits::none(self.size);
                for value in values {
                    if let Some(bits) = key.values.get(value.as_str()) {
                        with.unite(bits);
                    }
                }
                with
            };
            match &requirement.test {
                Test::In(values) => selected.keep(&with(values)),
                Test::NotIn(values) => selected.remove(&with(values)),
                Test::Exists => selected.keep(&key.any),
                Test::DoesNotExist => selected.remove(&key.any),
            }
        }
        selected
    }
}
