//! Sets of small numbers, a bit each: what makes whole rows of a cluster as cheap as single pods.

use std::fmt;

const WORD: usize = 64;

/// A set of numbers below a fixed size.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bits {
    size: usize,
    words: Box<[u64]>,
}

impl Bits {
    /// No number below `size`.
    #[must_use]
    pub fn none(size: usize) -> Self {
        Self {
            size,
            words: vec![0; size.div_ceil(WORD)].into(),
        }
    }

    /// Every number below `size`.
    #[must_use]
    pub fn all(size: usize) -> Self {
        Self::none(size).complement()
    }

    /// These numbers below `size`.
    #[must_use]
    pub fn of(size: usize, members: impl IntoIterator<Item = usize>) -> Self {
        let mut bits = Self::none(size);
        for member in members {
            bits.insert(member);
        }
        bits
    }

    /// Adds a number below the size.
    pub fn insert(&mut self, member: usize) {
        self.words[member / WORD] |= 1 << (member % WORD);
    }

    /// Whether a number below the size is in the set.
    #[must_use]
    pub fn contains(&self, member: usize) -> bool {
        self.words[member / WORD] & (1 << (member % WORD)) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Whether both have a number in common.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(one, other)| one & other != 0)
    }

    /// Adds what is in `other`.
    pub fn unite(&mut self, other: &Self) {
        for (one, other) in self.words.iter_mut().zip(&other.words) {
            *one |= other;
        }
    }

    /// Keeps what is also in `other`.
    pub fn keep(&mut self, other: &Self) {
        for (one, other) in self.words.iter_mut().zip(&other.words) {
            *one &= other;
        }
    }

    /// Removes what is in `other`.
    pub fn remove(&mut self, other: &Self) {
        for (one, other) in self.words.iter_mut().zip(&other.words) {
            *one &= !other;
        }
    }

    /// What both have.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let mut common = self.clone();
        common.keep(other);
        common
    }

    /// The numbers below the size that are not in the set.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut words: Box<[u64]> = self.words.iter().map(|word| !word).collect();
        let used = self.size % WORD;
        if let (Some(last), true) = (words.last_mut(), used > 0) {
            *last &= (1 << used) - 1;
        }
        Self { size: self.size, words }
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.words.iter().enumerate();
        words.flat_map(|(index, word)| ones(*word).map(move |bit| index * WORD + bit))
    }
}

/// Positions of the bits that are set, ascending.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = word.trailing_zeros();
        word &= word.checked_sub(1)?;
        usize::try_from(lowest).ok()
    })
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
