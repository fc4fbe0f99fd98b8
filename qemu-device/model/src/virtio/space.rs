// SPDX-License-Identifier: GPL-2.0

//! Address spaces: the IOMMU that a virtio function has of its own, in front of that of the machine.

use std::collections::BTreeMap;

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    VirtioAccess,
    VirtioMap,
    VirtioMapping,
    VirtioStage,
    VIRTIO_PAGE, //
};

use crate::bus::Bus;
use crate::host::DmaFault;
use crate::save::{
    LoadError,
    Reader,
    Saved,
    Writer, //
};

/// Largest number of mappings of an address space, those that are prepared counted apart.
pub(crate) const MAX_MAPPINGS: usize = 32 * 1024;

/// All that may be done with a mapping.
const ACCESS: VirtioAccess = VirtioAccess::READ.with(VirtioAccess::WRITE);

/// What a piece of addresses leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    length: u64,
    addr: u64,
    access: VirtioAccess,
}

/// Mappings that do not overlap, by their first address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Mappings(BTreeMap<u64, Target>);

impl Mappings {
    fn add(&mut self, mapping: &VirtioMapping) -> Result<(), Status> {
        let (iova, length, addr) = (mapping.iova.get(), mapping.length.get(), mapping.addr.get());
        let access = VirtioAccess(mapping.access.get());
        let aligned = [iova, length, addr]
            .iter()
            .all(|number| number % VIRTIO_PAGE == 0);
        let (Some(end), Some(_)) = (iova.checked_add(length), addr.checked_add(length)) else {
            return Err(Status::INVALID_FIELD);
        };
        let sane = aligned && length > 0 && ACCESS.contains(access) && access.0 != 0;
        if !sane || mapping.rsvd != [0; 4] {
            return Err(Status::INVALID_FIELD);
        }
        // The last one that begins before the end is the only one that can overlap.
        let before = self.0.range(..end).next_back();
        if before.is_some_and(|(first, target)| first + target.length > iova) {
            return Err(Status::INVALID_FIELD);
        }
        if self.0.len() >= MAX_MAPPINGS {
            return Err(Status::NO_RESOURCE);
        }
        let target = Target {
            length,
            addr,
            access,
        };
        self.0.insert(iova, target);
        Ok(())
    }

    fn remove(&mut self, iova: u64, length: u64) -> Result<(), Status> {
        let end = iova.checked_add(length).ok_or(Status::INVALID_FIELD)?;
        let cuts = |at: u64| {
            let before = self.0.range(..at).next_back();
            before.is_some_and(|(first, target)| first + target.length > at)
        };
        if cuts(iova) || cuts(end) {
            return Err(Status::INVALID_FIELD);
        }
        self.0.retain(|first, _| *first < iova || *first >= end);
        Ok(())
    }
}

impl Saved for Mappings {
    fn save(&self, writer: &mut Writer) {
        // CAST: bounded.
        (self.0.len() as u32).save(writer);
        for (iova, target) in &self.0 {
            iova.save(writer);
            target.length.save(writer);
            target.addr.save(writer);
            target.access.0.save(writer);
        }
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        let mut mappings = Self::default();
        for _ in 0..u32::load(reader)? {
            let mapping = VirtioMapping {
                iova: u64::load(reader)?.into(),
                length: u64::load(reader)?.into(),
                addr: u64::load(reader)?.into(),
                access: u32::load(reader)?.into(),
                rsvd: [0; 4],
            };
            mappings
                .add(&mapping)
                .map_err(|_| LoadError::Invalid("mapping of an address space"))?;
        }
        Ok(mappings)
    }
}

/// An address space.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Space {
    /// [`None`]: every address stands for itself.
    live: Option<Mappings>,
    staged: Mappings,
}

crate::save::saved!(Space { live, staged });

impl Space {
    /// Adds mappings, all or none.
    pub(crate) fn map(
        &mut self,
        mappings: &[VirtioMapping],
        stage: VirtioStage,
    ) -> Result<(), Status> {
        let was_identity = self.live.is_none();
        let replaced = match stage {
            VirtioStage::NOW | VirtioStage::MORE => None,
            VirtioStage::FIRST => Some(std::mem::take(&mut self.staged)),
            _ => return Err(Status::INVALID_FIELD),
        };
        let now = stage == VirtioStage::NOW;
        let to = if now {
            self.live.get_or_insert_default()
        } else {
            &mut self.staged
        };
        for (count, mapping) in mappings.iter().enumerate() {
            if let Err(status) = to.add(mapping) {
                for added in &mappings[..count] {
                    to.0.remove(&added.iova.get());
                }
                if now && was_identity {
                    self.live = None;
                }
                if let Some(replaced) = replaced {
                    self.staged = replaced;
                }
                return Err(status);
            }
        }
        Ok(())
    }

    /// Removes the mappings of a range.
    pub(crate) fn unmap(&mut self, iova: u64, length: u64) -> Result<(), Status> {
        match &mut self.live {
            Some(live) => live.remove(iova, length),
            None => Err(Status::BAD_STATE),
        }
    }

    /// Replaces all that is mapped.
    pub(crate) fn switch(&mut self, map: VirtioMap) -> Result<(), Status> {
        self.live = match map {
            VirtioMap::IDENTITY => None,
            VirtioMap::NOTHING => Some(Mappings::default()),
            VirtioMap::STAGED => Some(std::mem::take(&mut self.staged)),
            _ => return Err(Status::INVALID_FIELD),
        };
        Ok(())
    }

    /// Returns where an address leads to, and how many of the `length` bytes from there on go
    /// together.
    fn translate(
        &self,
        iova: u64,
        length: usize,
        access: VirtioAccess,
    ) -> Result<(u64, usize), DmaFault> {
        let Some(live) = &self.live else {
            return Ok((iova, length));
        };
        let (first, target) = live.0.range(..=iova).next_back().ok_or(DmaFault)?;
        let offset = iova - first;
        if offset >= target.length || !target.access.contains(access) {
            return Err(DmaFault);
        }
        // CAST: no more than the length that was asked for.
        let run = (target.length - offset).min(length as u64) as usize;
        Ok((target.addr + offset, run))
    }

    /// Reads memory.
    pub(crate) fn read(
        &self,
        bus: &mut Bus<'_>,
        mut iova: u64,
        mut buf: &mut [u8],
    ) -> Result<(), DmaFault> {
        while !buf.is_empty() {
            let (addr, run) = self.translate(iova, buf.len(), VirtioAccess::READ)?;
            let (now, later) = buf.split_at_mut(run);
            bus.read(addr, now)?;
            iova = iova.wrapping_add(run as u64);
            buf = later;
        }
        Ok(())
    }

    /// Writes memory.
    pub(crate) fn write(
        &self,
        bus: &mut Bus<'_>,
        mut iova: u64,
        mut buf: &[u8],
    ) -> Result<(), DmaFault> {
        while !buf.is_empty() {
            let (addr, run) = self.translate(iova, buf.len(), VirtioAccess::WRITE)?;
            let (now, later) = buf.split_at(run);
            bus.write(addr, now)?;
            iova = iova.wrapping_add(run as u64);
            buf = later;
        }
        Ok(())
    }

    /// Reads an aligned word that the driver publishes.
    pub(crate) fn load(&self, bus: &mut Bus<'_>, iova: u64) -> Result<u32, DmaFault> {
        // Mappings are aligned to pages, so that a word is in one.
        let (addr, _) = self.translate(iova, size_of::<u32>(), VirtioAccess::READ)?;
        bus.load(addr)
    }

    /// Publishes an aligned word to the driver.
    pub(crate) fn store(&self, bus: &mut Bus<'_>, iova: u64, value: u32) -> Result<(), DmaFault> {
        let (addr, _) = self.translate(iova, size_of::<u32>(), VirtioAccess::WRITE)?;
        bus.store(addr, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(iova: u64, pages: u64, addr: u64, access: VirtioAccess) -> VirtioMapping {
        VirtioMapping {
            iova: iova.into(),
            length: (pages * VIRTIO_PAGE).into(),
            addr: addr.into(),
            access: access.0.into(),
            rsvd: [0; 4],
        }
    }

    #[test]
    fn every_address_stands_for_itself_until_something_is_mapped() {
        let mut space = Space::default();
        assert_eq!(space.translate(7, 9, ACCESS), Ok((7, 9)));
        assert_eq!(space.unmap(0, VIRTIO_PAGE), Err(Status::BAD_STATE));
        space
            .map(&[mapping(0x1000, 2, 0x8000, ACCESS)], VirtioStage::NOW)
            .unwrap();
        assert_eq!(space.translate(7, 9, ACCESS), Err(DmaFault));
        assert_eq!(space.translate(0x2ff0, 64, ACCESS), Ok((0x9ff0, 16)));
        assert_eq!(space.translate(0x3000, 1, ACCESS), Err(DmaFault));
        space.switch(VirtioMap::IDENTITY).unwrap();
        assert_eq!(space.translate(7, 9, ACCESS), Ok((7, 9)));
    }

    #[test]
    fn access_is_limited_to_what_was_given() {
        let mut space = Space::default();
        space
            .map(
                &[mapping(0, 1, 0x8000, VirtioAccess::READ)],
                VirtioStage::NOW,
            )
            .unwrap();
        assert!(space.translate(0, 4, VirtioAccess::READ).is_ok());
        assert_eq!(space.translate(0, 4, VirtioAccess::WRITE), Err(DmaFault));
    }

    #[test]
    fn bad_mapping_adds_none_of_those_it_came_with() {
        for bad in [
            mapping(0x1001, 1, 0, ACCESS),
            mapping(0x9000, 1, 1, ACCESS),
            mapping(0x9000, 0, 0, ACCESS),
            mapping(0x9000, 1, 0, VirtioAccess(0)),
            mapping(0x9000, 1, 0, VirtioAccess(4)),
            mapping(0x1000, 1, 0, ACCESS),
            mapping(0x0000, 2, 0, ACCESS),
            mapping(0x2000, 1, 0, ACCESS),
            mapping(u64::MAX - 0xfff, 1, 0, ACCESS),
        ] {
            for live in [None, Some(mapping(0x10_0000, 1, 0, ACCESS))] {
                let mut space = Space::default();
                if let Some(live) = live {
                    space.map(&[live], VirtioStage::NOW).unwrap();
                }
                let was = format!("{space:?}");
                let good = mapping(0x1000, 2, 0x8000, ACCESS);
                assert_eq!(
                    space.map(&[good, bad], VirtioStage::NOW),
                    Err(Status::INVALID_FIELD),
                    "{bad:?}"
                );
                assert_eq!(format!("{space:?}"), was);
            }
        }
    }

    #[test]
    fn range_that_cuts_a_mapping_is_refused() {
        let mut space = Space::default();
        let all = [mapping(0x1000, 2, 0, ACCESS), mapping(0x4000, 1, 0, ACCESS)];
        space.map(&all, VirtioStage::NOW).unwrap();
        assert_eq!(space.unmap(0x2000, 0x1000), Err(Status::INVALID_FIELD));
        assert_eq!(space.unmap(0x0000, 0x2000), Err(Status::INVALID_FIELD));
        assert_eq!(space.unmap(0x0000, 0x4000), Ok(()));
        assert_eq!(space.translate(0x1000, 1, ACCESS), Err(DmaFault));
        assert!(space.translate(0x4000, 1, ACCESS).is_ok());
    }

    #[test]
    fn what_is_staged_counts_once_switched_to() {
        let mut space = Space::default();
        space
            .map(&[mapping(0x1000, 1, 0x5000, ACCESS)], VirtioStage::FIRST)
            .unwrap();
        assert_eq!(space.translate(0x1000, 1, ACCESS), Ok((0x1000, 1)));
        let more = [mapping(0x2000, 1, 0x6000, ACCESS)];
        space.map(&more, VirtioStage::MORE).unwrap();
        space.switch(VirtioMap::STAGED).unwrap();
        assert_eq!(space.translate(0x1000, 1, ACCESS), Ok((0x5000, 1)));
        assert_eq!(space.translate(0x2000, 1, ACCESS), Ok((0x6000, 1)));
        space.map(&more, VirtioStage::FIRST).unwrap();
        space
            .map(&[mapping(0x2000, 1, 0x7000, ACCESS)], VirtioStage::FIRST)
            .unwrap();
        space.switch(VirtioMap::STAGED).unwrap();
        assert_eq!(space.translate(0x2000, 1, ACCESS), Ok((0x7000, 1)));
        space.switch(VirtioMap::STAGED).unwrap();
        assert_eq!(space.translate(0x1000, 1, ACCESS), Err(DmaFault));
    }
}
