// SPDX-License-Identifier: GPL-2.0

//! The log of what a function writes to.

use crate::bindings as own;
use core::{
    marker::PhantomData,
    ops::RangeInclusive,
    ptr::NonNull, //
};

/// Ranges of I/O addresses, in ascending order, none of which overlaps another.
///
/// # Invariants
///
/// `root` is a valid interval tree of `count` nodes that nobody else uses.
pub struct Ranges<'a> {
    root: NonNull<own::rb_root_cached>,
    count: u32,
    _tree: PhantomData<&'a mut ()>,
}

impl Ranges<'_> {
    /// # Safety
    ///
    /// `root` is a valid interval tree of `count` nodes, and nobody else uses it for `'a`.
    pub(crate) unsafe fn new(root: NonNull<own::rb_root_cached>, count: u32) -> Self {
        // INVARIANT: by the requirements of this function.
        Self {
            root,
            count,
            _tree: PhantomData,
        }
    }

    /// Returns how many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Joins neighbours, those nearest to each other first, until there are no more than `max`.
    pub fn join(&mut self, max: u32) {
        if self.count > max && max > 0 {
            // SAFETY: by the invariants of this type; there are more nodes than are wanted.
            unsafe { own::vfio_combine_iova_ranges(self.root.as_ptr(), self.count, max) };
            self.count = max;
        }
    }

    /// Returns the first and last address of each.
    pub fn iter(&self) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        let last = usize::MAX;
        // SAFETY: by the invariants of this type.
        let mut node = unsafe { own::interval_tree_iter_first(self.root.as_ptr(), 0, last) };
        core::iter::from_fn(move || {
            let now = NonNull::new(node)?;
            // SAFETY: the node is one of the tree, which does not change while this is borrowed.
            let range = unsafe { now.as_ref().start as u64..=now.as_ref().last as u64 };
            // SAFETY: as above.
            node = unsafe { own::interval_tree_iter_next(now.as_ptr(), 0, last) };
            Some(range)
        })
    }
}

/// The bitmap of the user that a report goes to.
pub struct Dirty<'a> {
    bitmap: NonNull<own::iova_bitmap>,
    _report: PhantomData<&'a mut ()>,
}

impl Dirty<'_> {
    /// # Safety
    ///
    /// `bitmap` is valid, and nobody else uses it, for `'a`.
    pub(crate) unsafe fn new(bitmap: NonNull<own::iova_bitmap>) -> Self {
        Self {
            bitmap,
            _report: PhantomData,
        }
    }

    /// Says that something was written to in `length` bytes from `iova`. What is not part of the report is
    /// ignored. Touches user memory.
    pub fn set(&mut self, iova: usize, length: usize) {
        // SAFETY: by the requirements of `new`.
        unsafe { own::iova_bitmap_set(self.bitmap.as_ptr(), iova, length) };
    }
}
