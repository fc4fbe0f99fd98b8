// SPDX-License-Identifier: GPL-2.0

//! What one driver of a module knows and another one asks for.
//!
//! The two are called by the driver core, which hands them devices and nothing else; so what they share is a
//! `static`.

use core::cell::UnsafeCell;
use kernel::prelude::*;

/// A set of things that can be looked for. It is meant for a few of them, and to be asked now and then.
pub struct Registry<T: Send> {
    /// Touched only between [`lock`] and [`unlock`].
    things: UnsafeCell<KVec<(u64, T)>>,
}

// SAFETY: what is in it is touched by one thread at a time, which is enough for what may be sent to others.
unsafe impl<T: Send> Sync for Registry<T> {}

fn lock() {
    // SAFETY: the lock is initialized at compile time, and given back by `unlock`.
    unsafe { crate::bindings::ferrite_helper_registry_lock() };
}

fn unlock() {
    // SAFETY: the lock was taken by `lock`.
    unsafe { crate::bindings::ferrite_helper_registry_unlock() };
}

impl<T: Clone + Send> Registry<T> {
    /// Makes an empty set.
    pub const fn new() -> Self {
        Self {
            things: UnsafeCell::new(KVec::new()),
        }
    }

    fn with<R>(&self, work: impl FnOnce(&mut KVec<(u64, T)>) -> R) -> R {
        lock();
        // SAFETY: the lock is held, so that nobody else has a reference; `work` cannot keep it.
        let result = work(unsafe { &mut *self.things.get() });
        unlock();
        result
    }

    /// Puts something in, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn add(&'static self, thing: T) -> Result<Entry<T>> {
        self.with(|things| {
            let key = things.last().map_or(0, |(key, _)| key + 1);
            things.push((key, thing), GFP_KERNEL)?;
            Ok(Entry {
                registry: self,
                key,
            })
        })
    }

    /// Returns something that `fits`, which must not use a registry itself.
    pub fn find(&self, fits: impl Fn(&T) -> bool) -> Option<T> {
        self.with(|things| {
            let (_, thing) = things.iter().find(|(_, thing)| fits(thing))?;
            Some(thing.clone())
        })
    }
}

impl<T: Clone + Send> Default for Registry<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Something is in a [`Registry`] for as long as this lives.
pub struct Entry<T: Clone + Send + 'static> {
    registry: &'static Registry<T>,
    key: u64,
}

impl<T: Clone + Send> Drop for Entry<T> {
    fn drop(&mut self) {
        let removed = self.registry.with(|things| {
            let index = things.iter().position(|(key, _)| *key == self.key)?;
            let removed = things.remove(index).ok();
            if things.is_empty() {
                // Nobody drops a `static`.
                *things = KVec::new();
            }
            removed
        });
        drop(removed);
    }
}

#[kunit_tests(ferrite_registry)]
mod tests {
    use super::*;

    static THINGS: Registry<u32> = Registry::new();

    #[test]
    fn thing_is_found_while_its_entry_lives() -> Result {
        let even = |thing: &u32| thing % 2 == 0;
        assert_eq!(THINGS.find(even), None);
        let one = THINGS.add(1)?;
        let two = THINGS.add(2)?;
        assert_eq!(THINGS.find(even), Some(2));
        drop(one);
        let four = THINGS.add(4)?;
        assert_eq!(THINGS.find(even), Some(2));
        drop(two);
        assert_eq!(THINGS.find(even), Some(4));
        drop(four);
        assert_eq!(THINGS.find(|_| true), None);
        Ok(())
    }
}
