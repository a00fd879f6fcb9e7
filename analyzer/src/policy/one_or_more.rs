//! A sorted set that cannot be empty.
//!
//! The Kubernetes API reads an empty peer or port list as *everything*. A list that ran empty by accident would thus
//! open what it was meant to close, so the model has no way to say it.

use std::slice;
use std::vec;

use crate::sorted::Sorted;

/// A sorted, deduplicated set with at least one member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OneOrMore<T>(Sorted<T>);

impl<T: Ord> OneOrMore<T> {
    /// The set with exactly `member` in it.
    pub fn one(member: T) -> Self {
        Self(Sorted::one(member))
    }

    /// The set of all `members`; `None` if there are none.
    pub fn new(members: impl IntoIterator<Item = T>) -> Option<Self> {
        let members: Sorted<T> = members.into_iter().collect();
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
    pub fn iter(&self) -> slice::Iter<'_, T> {
        self.0.iter()
    }

    /// How many members there are: at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The only member of a set of one.
    #[must_use]
    pub fn only(&self) -> Option<&T> {
        match self.0.as_slice() {
            [only] => Some(only),
            [] | [_, ..] => None,
        }
    }
}

impl<'a, T: Ord> IntoIterator for &'a OneOrMore<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Ord> IntoIterator for OneOrMore<T> {
    type Item = T;
    type IntoIter = vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
