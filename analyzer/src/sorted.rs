//! A set in a sorted vector.
//!
//! Most sets of a recording have one or two members, and there are millions of them: a vector of the right length is a tenth of
//! what a tree takes for them. It is made at once; a set that grows by and by is a tree.

use std::slice;
use std::vec;

use rayon::slice::ParallelSliceMut as _;

/// A sorted vector without duplicates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sorted<T>(Vec<T>);

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> Sorted<T> {
    /// The set with exactly `member` in it.
    #[must_use]
    pub fn one(member: T) -> Self {
        Self(vec![member])
    }

    /// Adds a member, and says whether it is new. Takes time in proportion to those that are there.
    pub fn insert(&mut self, member: T) -> bool {
        match self.0.binary_search(&member) {
            Ok(_) => false,
            Err(place) => {
                // A vector makes room for four at first, which is more than most of these ever have.
                self.0.reserve_exact(1);
                self.0.insert(place, member);
                true
            }
        }
    }

    /// Whether `member` is in the set.
    pub fn contains(&self, member: &T) -> bool {
        self.0.binary_search(member).is_ok()
    }

    /// Takes the last member out.
    pub fn pop_last(&mut self) -> Option<T> {
        self.0.pop()
    }
}

impl<T> Sorted<T> {
    /// The members in ascending order.
    pub fn iter(&self) -> slice::Iter<'_, T> {
        self.0.iter()
    }

    /// The members in ascending order.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Ord> From<Vec<T>> for Sorted<T> {
    fn from(mut members: Vec<T>) -> Self {
        members.sort();
        members.dedup();
        members.shrink_to_fit();
        Self(members)
    }
}

impl<T: Ord, const N: usize> From<[T; N]> for Sorted<T> {
    fn from(members: [T; N]) -> Self {
        Self::from(Vec::from(members))
    }
}

impl<T: Ord> FromIterator<T> for Sorted<T> {
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> Self {
        Self::from(members.into_iter().collect::<Vec<T>>())
    }
}

impl<T: Ord> Extend<T> for Sorted<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, members: I) {
        let mut all = std::mem::take(&mut self.0);
        all.extend(members);
        *self = Self::from(all);
    }
}

/// Values by key in a sorted vector, those of one key in the order in which they came. Made at once, and only looked up in.
#[derive(Clone, Debug)]
pub struct Multimap<K, V>(Vec<(K, V)>);

impl<K: Ord, V> Multimap<K, V> {
    /// The values of a key.
    pub fn of(&self, key: &K) -> impl Iterator<Item = &V> {
        let first = self.0.partition_point(|(known, _)| known < key);
        let values = self.0[first..].iter().take_while(move |(known, _)| known == key);
        values.map(|(_, value)| value)
    }
}

impl<K: Ord + Send, V: Send> From<Vec<(K, V)>> for Multimap<K, V> {
    fn from(mut values: Vec<(K, V)>) -> Self {
        values.par_sort_by(|(a, _), (b, _)| a.cmp(b));
        Self(values)
    }
}

/// Members of a set that are gathered one by one, most of them again and again. Which they are is known at the end.
#[derive(Clone, Debug)]
pub struct Gathered<T> {
    members: Vec<T>,
    /// How many were left when they were last put in order.
    distinct: usize,
}

impl<T> Default for Gathered<T> {
    fn default() -> Self {
        Self {
            members: Vec::new(),
            distinct: 0,
        }
    }
}

impl<T: Ord> Gathered<T> {
    /// So many may come before they are put in order for the first time.
    const FEW: usize = 8;

    /// Adds a member.
    pub fn add(&mut self, member: T) {
        if self.members.last() == Some(&member) {
            return;
        }
        if self.members.is_empty() {
            // Most have one.
            self.members.reserve_exact(1);
        }
        self.members.push(member);
        // Each time there are twice as many: all of it takes no longer than sorting what came.
        if self.members.len() > Self::FEW.max(2 * self.distinct) {
            self.members.sort();
            self.members.dedup();
            self.distinct = self.members.len();
        }
    }

    /// Adds several.
    pub fn add_all(&mut self, members: impl IntoIterator<Item = T>) {
        for member in members {
            self.add(member);
        }
    }

    /// One of them, if there is any: mostly the one that came last.
    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.members.last()
    }

    /// The set.
    #[must_use]
    pub fn sorted(self) -> Sorted<T> {
        Sorted::from(self.members)
    }
}

impl<T> IntoIterator for Gathered<T> {
    type Item = T;
    type IntoIter = vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

impl<T> IntoIterator for Sorted<T> {
    type Item = T;
    type IntoIter = vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Sorted<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::{Gathered, Multimap, Sorted};

    proptest! {
        #[test]
        fn it_is_the_set_that_a_tree_is(
            members in prop::collection::vec(0..12u8, 0..12), more in prop::collection::vec(0..12u8, 0..12),
        ) {
            let (mut sorted, mut tree): (Sorted<u8>, BTreeSet<u8>) =
                (members.iter().copied().collect(), members.iter().copied().collect());
            for member in more {
                prop_assert_eq!(sorted.contains(&member), tree.contains(&member));
                prop_assert_eq!(sorted.insert(member), tree.insert(member));
                prop_assert_eq!(sorted.as_slice(), tree.iter().copied().collect::<Vec<_>>());
            }
            prop_assert_eq!(sorted.len(), tree.len());
            prop_assert_eq!(sorted.is_empty(), tree.is_empty());
            prop_assert_eq!(sorted.pop_last(), tree.pop_last());
            prop_assert_eq!(sorted.into_iter().collect::<Vec<_>>(), tree.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn it_has_the_values_that_a_tree_has(values in prop::collection::vec((0..6u8, 0..12u8), 0..20), key in 0..7u8) {
            let mut tree: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
            for (key, value) in &values {
                tree.entry(*key).or_default().push(*value);
            }
            let found: Vec<u8> = Multimap::from(values).of(&key).copied().collect();
            prop_assert_eq!(found, tree.remove(&key).unwrap_or_default());
        }

        #[test]
        fn what_is_gathered_is_the_set_that_a_tree_is(members in prop::collection::vec(0..40u8, 0..200)) {
            let tree: BTreeSet<u8> = members.iter().copied().collect();
            let mut gathered = Gathered::default();
            gathered.add_all(members);
            prop_assert_eq!(gathered.sorted().into_iter().collect::<Vec<_>>(), tree.into_iter().collect::<Vec<_>>());
        }
    }
}
