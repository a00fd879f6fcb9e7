//! A sorted set that cannot be empty.
//!
//! The Kubernetes API reads an empty peer or port list as *everything*. A list that ran empty by accident would thus
//! open what it was meant to close, so the model has no way to say it.

use std::collections::BTreeSet;
use std::collections::btree_set;

/// A sorted, deduplicated set with at least one member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OneOrMore<T>(BTreeSet<T>);

impl<T: Ord> OneOrMore<T> {
    /// The set with exactly `member` in it.
    pub fn one(member: T) -> Self {
        Self(BTreeSet::from([member]))
    }

    /// The set of all `members`; `None` if there are none.
    pub fn new(members: impl IntoIterator<Item = T>) -> Option<Self> {
        let members: BTreeSet<T> = members.into_iter().collect();
        (!members.is_empty()).then_some(Self(members))
    }

    /// Adds a member.
    pub fn insert(&mut self, member: T) {
        self.0.insert(member);
    }

    /// Whether `member` is in the set.
    pub fn contains(&self, member: &T) -> bool {
        self.0.contains(member)
    }

    /// The members in ascending order.
    pub fn iter(&self) -> btree_set::Iter<'_, T> {
        self.0.iter()
    }

    /// The members as a plain set.
    #[must_use]
    pub fn as_set(&self) -> &BTreeSet<T> {
        &self.0
    }

    /// The only member of a set of one.
    #[must_use]
    pub fn only(&self) -> Option<&T> {
        if self.0.len() == 1 { self.0.first() } else { None }
    }
}

impl<'a, T: Ord> IntoIterator for &'a OneOrMore<T> {
    type Item = &'a T;
    type IntoIter = btree_set::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Ord> IntoIterator for OneOrMore<T> {
    type Item = T;
    type IntoIter = btree_set::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
