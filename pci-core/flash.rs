// SPDX-License-Identifier: GPL-2.0

//! Firmware of the board: what is in its slots, how an image is written, and how they are tested.

use ferrite_abi::{
    cmd::{
        BeginFlash,
        EndFlash,
        FirmwareInfo,
        FlashChunk,
        FlashOverwrite,
        QueryFirmware,
        TestFlash,
        WriteFlash, //
    },
    firmware::{
        FirmwareComponent,
        ImageFault,
        ImageHeader, //
    },
    regs::{
        Features,
        FirmwareVersion, //
    },
    wire::{
        FromBytes,
        U16,
        U32, //
    },
};
use ferrite_aux::CmdError;
use kernel::prelude::*;
use kernel_ext::devlink::{
    info::versions,
    ExtAck,
    Flash,
    Info,
    Outcome, //
};
use zerocopy::FromZeros;

use crate::{
    board::Board,
    logic::identity::text, //
};

/// Components, and what users call them.
const COMPONENTS: [(&CStr, FirmwareComponent); 2] = [
    (versions::FW, FirmwareComponent::FIRMWARE),
    (versions::FW_UNDI, FirmwareComponent::BOOT),
];

/// Returns whether the device has firmware that can be written.
pub(crate) fn is_offered(board: &Board) -> bool {
    board.features.contains(Features::FLASH)
}

/// A version as users read it.
struct Version(U32);

impl kernel::fmt::Display for Version {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        let version = FirmwareVersion(self.0.get());
        write!(
            f,
            "{}.{}.{}",
            version.major(),
            version.minor(),
            version.patch()
        )
    }
}

fn query(board: &Board, component: FirmwareComponent) -> Result<FirmwareInfo, CmdError> {
    let mut info = FirmwareInfo::new_zeroed();
    let query = QueryFirmware {
        component: U16::new(component.0),
        rsvd: [0; 2],
    };
    board.admin.fetch(board.own(), query, &mut info)?;
    Ok(info)
}

/// Tells of all components.
pub(crate) fn tell(board: &Board, info: &mut Info<'_>) -> Result {
    for (name, component) in COMPONENTS {
        let told = query(board, component)?;
        let (running, stored) = (Version(told.running), Version(told.stored));
        info.component(name, fmt!("{running}"), fmt!("{stored}"))?;
        if component == FirmwareComponent::FIRMWARE {
            // A board without has none to tell.
            if let Some(psid) = text(&told.psid) {
                info.running(versions::FW_PSID, fmt!("{psid}"))?;
            }
            if let Some(board) = text(&told.board) {
                info.fixed(versions::BOARD_ID, fmt!("{board}"))?;
            }
        }
    }
    Ok(())
}

/// Says why the device does not take an image.
fn reason(fault: ImageFault) -> &'static str {
    match fault {
        ImageFault::MAGIC => "it is no firmware image",
        ImageFault::HEADER => "its header is damaged",
        ImageFault::VERSION => "its format is not known to the device",
        ImageFault::ASIC => "it is for another ASIC",
        ImageFault::COMPONENT => "it is of another component",
        ImageFault::LENGTH => "it is longer or shorter than it says",
        ImageFault::PAYLOAD => "it is damaged",
        ImageFault::INCOMPLETE => "not all of it arrived",
        _ => "the device does not say why",
    }
}

/// Finds out which component an image is for: the one that the user named, or else the one that it says.
fn component_of(
    flash: &Flash<'_>,
    extack: &mut ExtAck<'_>,
) -> Result<(&'static CStr, FirmwareComponent)> {
    let wanted = match flash.component() {
        Some(wanted) => COMPONENTS.iter().find(|(name, _)| *name == wanted),
        None => {
            let (header, _) = ImageHeader::ref_from_prefix(flash.image()).map_err(|_| {
                extack.set(fmt!("the file is too short for a firmware image"));
                EINVAL
            })?;
            let component = FirmwareComponent(header.component.get());
            COMPONENTS.iter().find(|(_, known)| *known == component)
        }
    };
    wanted.copied().ok_or_else(|| {
        extack.set(fmt!("the image is of no component of this device"));
        EINVAL
    })
}

/// Writes an image to the device, which runs after an activation.
pub(crate) fn write(board: &Board, flash: &Flash<'_>, extack: &mut ExtAck<'_>) -> Result {
    let (name, component) = component_of(flash, extack)?;
    let image = flash.image();
    let mut overwrite = FlashOverwrite(0);
    if flash.overwrites_settings() {
        overwrite = overwrite.with(FlashOverwrite::SETTINGS);
    }
    if flash.overwrites_identifiers() {
        overwrite = overwrite.with(FlashOverwrite::IDENTIFIERS);
    }
    flash.progress(c"Preparing to flash", name, 0, 0);
    let begin = BeginFlash {
        component: U16::new(component.0),
        overwrite: U16::new(overwrite.0),
        length: U32::new(u32::try_from(image.len()).unwrap_or(u32::MAX)),
    };
    let failed = |extack: &mut ExtAck<'_>, what: &str, error: CmdError| {
        extack.set(fmt!("{what}: {error}"));
        Error::from(error)
    };
    board
        .admin
        .send(board.own(), begin)
        .map_err(|error| failed(extack, "the device takes no image of this size", error))?;
    let mut chunk = KBox::new(FlashChunk::new_zeroed(), GFP_KERNEL)?;
    let mut offset = 0;
    for part in image.chunks(chunk.bytes.len()) {
        flash.progress(c"Flashing", name, offset, image.len());
        // PANIC: a part is no longer than a chunk.
        chunk.bytes[..part.len()].copy_from_slice(part);
        let write = WriteFlash {
            // CAST: the device took the length of it all.
            offset: U32::new(offset as u32),
            length: U32::new(part.len() as u32),
        };
        board
            .admin
            .send_with(board.own(), write, &*chunk)
            .map_err(|error| failed(extack, "the image could not be written", error))?;
        offset += part.len();
    }
    flash.progress(c"Flashing", name, image.len(), image.len());
    let verdict = board
        .admin
        .send(board.own(), EndFlash {})
        .map_err(|error| failed(extack, "the image could not be checked", error))?;
    match ImageFault(verdict.fault.get()) {
        ImageFault::NONE => {
            flash.progress(c"Flashing done", name, 0, 0);
            Ok(())
        }
        fault => {
            extack.set(fmt!("the device refuses the image: {}", reason(fault)));
            flash.progress(c"Flashing failed", name, 0, 0);
            Err(EINVAL)
        }
    }
}

/// Has the device read all of its slots back.
pub(crate) fn test(board: &Board, extack: &mut ExtAck<'_>) -> Outcome {
    for (name, component) in COMPONENTS {
        let test = TestFlash {
            component: U16::new(component.0),
            rsvd: [0; 2],
        };
        match board.admin.send(board.own(), test) {
            Ok(verdict) if verdict.fault.get() == ImageFault::NONE.0 => {}
            Ok(verdict) => {
                extack.set(fmt!(
                    "slot {} of {name:?}: {}",
                    verdict.slot,
                    reason(ImageFault(verdict.fault.get()))
                ));
                return Outcome::Failed;
            }
            Err(error) => {
                extack.set(fmt!("the device does not test its flash: {error}"));
                return Outcome::Failed;
            }
        }
    }
    Outcome::Passed
}
