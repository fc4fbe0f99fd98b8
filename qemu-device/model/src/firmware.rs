// SPDX-License-Identifier: GPL-2.0

//! The firmware of the board: what is in its slots, what runs, and the image that is being written.
//!
//! The model runs no image: it takes note of what its header says.

use ferrite_abi::cmd::{
    FirmwareInfo,
    FlashOverwrite, //
};
use ferrite_abi::firmware::{
    FirmwareComponent,
    ImageFault,
    ImageHeader,
    IMAGE_MAGIC,
    IMAGE_VERSION,
    MAX_IMAGE, //
};
use ferrite_abi::wire::{
    FromBytes,
    U32, //
};

use crate::config::{
    ASIC,
    FIRMWARE,
    FIRMWARE_SLOTS, //
};
use crate::save::{
    saved,
    LoadError, //
};
use crate::text::padded;

/// Size of the header of an image.
const HEADER: usize = size_of::<ImageHeader>();
/// Set of parameters that a board comes with.
const PSID: &str = "FERRITE-FACTORY";
/// Identity that a board comes with.
const BOARD: &str = "ferrite-dpu";

/// An image in a slot.
#[derive(Clone, Debug)]
struct Image {
    version: u32,
    psid: [u8; 32],
    board: [u8; 32],
    /// What it still is to replace when it begins to run.
    overwrite: FlashOverwrite,
    /// Checksum that its payload shall have.
    checksum: u32,
    payload: Vec<u8>,
}

saved!(Image {
    version,
    psid,
    board,
    overwrite,
    checksum,
    payload
});

impl Image {
    /// Returns what a board comes with.
    fn factory() -> Self {
        Self {
            version: FIRMWARE.0,
            psid: padded(PSID),
            board: padded(BOARD),
            overwrite: FlashOverwrite(0),
            checksum: crc32(0, &[]),
            payload: Vec::new(),
        }
    }

    /// Returns whether it holds what was written.
    fn is_whole(&self) -> bool {
        crc32(0, &self.payload) == self.checksum
    }
}

/// A component.
#[derive(Clone, Debug)]
struct Component {
    slots: Vec<Image>,
    running: u8,
    stored: u8,
    /// Set of parameters in force.
    psid: [u8; 32],
    /// Identity of the board.
    board: [u8; 32],
}

saved!(Component {
    slots,
    running,
    stored,
    psid,
    board
});

impl Component {
    fn factory() -> Self {
        Self {
            slots: vec![Image::factory(); FIRMWARE_SLOTS.into()],
            running: 0,
            stored: 0,
            psid: padded(PSID),
            board: padded(BOARD),
        }
    }

    fn version(&self, slot: u8) -> u32 {
        self.slots[usize::from(slot)].version
    }

    /// Runs what is stored.
    fn start(&mut self) {
        self.running = self.stored;
        let image = &mut self.slots[usize::from(self.running)];
        let overwrite = std::mem::take(&mut image.overwrite);
        if overwrite.contains(FlashOverwrite::SETTINGS) {
            self.psid = image.psid;
        }
        if overwrite.contains(FlashOverwrite::IDENTIFIERS) {
            self.board = image.board;
        }
    }
}

/// An image that is being written.
#[derive(Clone, Debug)]
struct Upload {
    component: u16,
    slot: u8,
    overwrite: FlashOverwrite,
    length: u32,
    /// What was written of it.
    bytes: Vec<u8>,
}

saved!(Upload {
    component,
    slot,
    overwrite,
    length,
    bytes
});

impl Upload {
    /// Returns how much was written.
    fn written(&self) -> u32 {
        // CAST: no more than the length of an image.
        self.bytes.len() as u32
    }

    /// Returns the image, if it is good.
    fn check(mut self) -> Result<Image, ImageFault> {
        if self.written() != self.length {
            return Err(ImageFault::INCOMPLETE);
        }
        let (header, _) =
            ImageHeader::read_from_prefix(&self.bytes).map_err(|_| ImageFault::INCOMPLETE)?;
        let right = crc32(0, &self.bytes[..HEADER - size_of::<u32>()]);
        let payload = self.bytes.split_off(HEADER);
        let faults = [
            (header.magic != IMAGE_MAGIC, ImageFault::MAGIC),
            (header.header_checksum.get() != right, ImageFault::HEADER),
            (
                header.header_version.get() != IMAGE_VERSION,
                ImageFault::VERSION,
            ),
            (header.asic != padded(ASIC), ImageFault::ASIC),
            (
                header.component.get() != self.component,
                ImageFault::COMPONENT,
            ),
            (
                // CAST: a small constant.
                header.length.get() != self.length - HEADER as u32,
                ImageFault::LENGTH,
            ),
            (
                header.checksum.get() != crc32(0, &payload),
                ImageFault::PAYLOAD,
            ),
        ];
        if let Some((_, fault)) = faults.into_iter().find(|(wrong, _)| *wrong) {
            return Err(fault);
        }
        Ok(Image {
            version: header.version.get(),
            psid: header.psid,
            board: header.board,
            overwrite: self.overwrite,
            checksum: header.checksum.get(),
            payload,
        })
    }
}

/// The firmware of the board.
#[derive(Clone, Debug)]
pub(crate) struct Firmware {
    components: Vec<Component>,
    /// The next reset of the PF starts what is stored.
    activating: bool,
    upload: Option<Upload>,
}

saved!(Firmware {
    components,
    activating,
    upload
});

impl Default for Firmware {
    fn default() -> Self {
        Self {
            components: vec![Component::factory(); FirmwareComponent::NAMED.len()],
            activating: false,
            upload: None,
        }
    }
}

impl Firmware {
    /// Returns the versions of the firmware itself that run and are stored.
    pub(crate) fn versions(&self) -> (u32, u32) {
        // PANIC: it is a component like all that have a name.
        let firmware = &self.components[usize::from(FirmwareComponent::FIRMWARE.0)];
        (
            firmware.version(firmware.running),
            firmware.version(firmware.stored),
        )
    }

    /// Tells of a component, if there is such.
    pub(crate) fn info(&self, component: u16) -> Option<FirmwareInfo> {
        let component = self.components.get(usize::from(component))?;
        Some(FirmwareInfo {
            running: U32::new(component.version(component.running)),
            stored: U32::new(component.version(component.stored)),
            running_slot: component.running,
            stored_slot: component.stored,
            // CAST: a small constant.
            slots: FIRMWARE_SLOTS as u8,
            activating: self.activating.into(),
            rsvd: [0; 4],
            psid: component.psid,
            board: component.board,
            rsvd2: [0; 48],
        })
    }

    /// Begins to write an image. Returns whether there can be such.
    pub(crate) fn begin(&mut self, component: u16, overwrite: FlashOverwrite, length: u32) -> bool {
        let known = FlashOverwrite::SETTINGS.with(FlashOverwrite::IDENTIFIERS);
        // CAST: a small constant.
        let possible = (HEADER as u32..=MAX_IMAGE).contains(&length);
        let Some(target) = self.components.get_mut(usize::from(component)) else {
            return false;
        };
        if !possible || !known.contains(overwrite) {
            return false;
        }
        let slot = 1 - target.running;
        target.stored = target.running;
        self.upload = Some(Upload {
            component,
            slot,
            overwrite,
            length,
            bytes: Vec::new(),
        });
        true
    }

    /// Returns how much of an image was written, and how much there is to write, if one was begun.
    pub(crate) fn progress(&self) -> Option<(u32, u32)> {
        let upload = self.upload.as_ref()?;
        Some((upload.written(), upload.length))
    }

    /// Writes a part of an image that was begun, which does not pass its end.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Some(upload) = &mut self.upload {
            upload.bytes.extend_from_slice(bytes);
        }
    }

    /// Ends the writing of an image, if one was begun. Returns what is wrong with it, and its slot.
    pub(crate) fn end(&mut self) -> Option<(ImageFault, u8)> {
        let upload = self.upload.take()?;
        let target = self.components.get_mut(usize::from(upload.component))?;
        let slot = upload.slot;
        let fault = match upload.check() {
            Ok(image) => {
                target.slots[usize::from(slot)] = image;
                target.stored = slot;
                ImageFault::NONE
            }
            Err(fault) => fault,
        };
        Some((fault, slot))
    }

    /// Reads the slots of a component back, if there is such. Returns what is wrong, and with which.
    pub(crate) fn test(&self, component: u16) -> Option<(ImageFault, u8)> {
        let slots = &self.components.get(usize::from(component))?.slots;
        let broken = (0..).zip(slots).find(|(_, image)| !image.is_whole());
        Some(broken.map_or((ImageFault::NONE, 0), |(slot, _)| {
            (ImageFault::PAYLOAD, slot)
        }))
    }

    /// Has the next reset of the PF start what is stored.
    pub(crate) fn activate(&mut self) {
        self.activating = true;
    }

    /// The PF is reset.
    pub(crate) fn reset(&mut self) {
        self.upload = None;
        if std::mem::take(&mut self.activating) {
            self.components.iter_mut().for_each(Component::start);
        }
    }

    /// The board is powered on.
    pub(crate) fn power_on(mut self) -> Self {
        self.activate();
        self.reset();
        self
    }

    /// Checks what was loaded.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let slots = FIRMWARE_SLOTS.into();
        let possible = self.components.len() == FirmwareComponent::NAMED.len()
            && self.components.iter().all(|component| {
                component.slots.len() == slots
                    && [component.running, component.stored]
                        .into_iter()
                        .all(|slot| usize::from(slot) < slots)
                    && (component.slots.iter())
                        .all(|image| image.payload.len() <= MAX_IMAGE as usize)
            });
        if !possible {
            return Err(LoadError::Invalid("slot of firmware"));
        }
        let Some(upload) = &self.upload else {
            return Ok(());
        };
        let fits = usize::from(upload.component) < self.components.len()
            && usize::from(upload.slot) < slots
            && upload.bytes.len() <= upload.length as usize
            // CAST: a small constant.
            && (HEADER as u32..=MAX_IMAGE).contains(&upload.length);
        fits.then_some(())
            .ok_or(LoadError::Invalid("firmware image"))
    }
}

/// Continues a checksum, which begins with 0: CRC-32 as in IEEE 802.3.
pub(crate) fn crc32(before: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!before, |crc, byte| {
        TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8
    })
}

/// What each byte adds to a checksum.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::image;

    fn flash(firmware: &mut Firmware, image: &[u8]) -> ImageFault {
        assert!(firmware.begin(0, FlashOverwrite(0), image.len() as u32));
        for part in image.chunks(100) {
            firmware.write(part);
        }
        firmware.end().unwrap().0
    }

    #[test]
    fn checksum_is_the_usual_one() {
        assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xcbf4_3926);
    }

    #[test]
    fn every_bit_of_an_image_is_checked() {
        let good = image(FirmwareComponent::FIRMWARE, 0x0200_0000, &[7; 40]);
        let mut firmware = Firmware::default();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(flash(&mut firmware, &bad), ImageFault::NONE, "bit {bit}");
            assert_eq!(firmware.versions(), (FIRMWARE.0, FIRMWARE.0));
        }
        assert_eq!(flash(&mut firmware, &good), ImageFault::NONE);
        assert_eq!(firmware.versions(), (FIRMWARE.0, 0x0200_0000));
    }

    #[test]
    fn slot_that_lost_a_bit_is_found() {
        let good = image(FirmwareComponent::FIRMWARE, 0x0200_0000, &[7; 40]);
        let mut firmware = Firmware::default();
        flash(&mut firmware, &good);
        assert_eq!(firmware.test(0), Some((ImageFault::NONE, 0)));
        firmware.components[0].slots[1].payload[3] ^= 1;
        assert_eq!(firmware.test(0), Some((ImageFault::PAYLOAD, 1)));
        assert_eq!(firmware.test(9), None);
    }

    #[test]
    fn what_is_begun_takes_the_place_of_what_is_stored() {
        let good = image(FirmwareComponent::FIRMWARE, 0x0200_0000, &[]);
        let mut firmware = Firmware::default();
        assert_eq!(flash(&mut firmware, &good), ImageFault::NONE);
        assert!(firmware.begin(0, FlashOverwrite(0), 200));
        assert_eq!(firmware.versions(), (FIRMWARE.0, FIRMWARE.0));
        firmware.write(&good);
        assert_eq!(firmware.end(), Some((ImageFault::INCOMPLETE, 1)));
    }
}
