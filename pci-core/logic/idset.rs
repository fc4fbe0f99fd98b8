// SPDX-License-Identifier: GPL-2.0

//! A set of small numbers, in which the lowest that is missing is found at once.

const BITS: u32 = u64::BITS;

/// A set of numbers below `64 * WORDS`.
#[derive(Clone, Debug)]
pub struct IdSet<const WORDS: usize> {
    words: [u64; WORDS],
    len: u32,
}

impl<const WORDS: usize> IdSet<WORDS> {
    /// The empty set.
    pub const EMPTY: Self = Self {
        words: [0; WORDS],
        len: 0,
    };

    fn bit(number: u32) -> (usize, u64) {
        ((number / BITS) as usize, 1 << (number % BITS))
    }

    /// Puts a number in. Returns whether it was missing; one that is too large never gets in.
    pub fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = Self::bit(number);
        match self.words.get_mut(word) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                self.len += 1;
                true
            }
            _ => false,
        }
    }

    /// Takes a number out. Returns whether it was in.
    pub fn remove(&mut self, number: u32) -> bool {
        let (word, bit) = Self::bit(number);
        match self.words.get_mut(word) {
            Some(word) if *word & bit != 0 => {
                *word &= !bit;
                self.len -= 1;
                true
            }
            _ => false,
        }
    }

    /// Returns how many numbers are in.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Returns whether no number is in.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the lowest number that is missing.
    pub fn lowest_missing(&self) -> Option<u32> {
        let index = self.words.iter().position(|word| *word != u64::MAX)?;
        // CAST: no more words than a few.
        Some(index as u32 * BITS + self.words[index].trailing_ones())
    }

    /// Returns the lowest number that is in and not below `from`.
    pub fn next(&self, from: u32) -> Option<u32> {
        let (first, _) = Self::bit(from);
        let mut mask = u64::MAX << (from % BITS);
        for (index, word) in self.words.iter().enumerate().skip(first) {
            let found = word & mask;
            if found != 0 {
                // CAST: no more words than a few.
                return Some(index as u32 * BITS + found.trailing_zeros());
            }
            mask = u64::MAX;
        }
        None
    }
}
