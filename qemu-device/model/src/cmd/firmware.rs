// SPDX-License-Identifier: GPL-2.0

//! Handlers of the commands about firmware.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    ActivateFirmware,
    BeginFlash,
    EndFlash,
    FirmwareInfo,
    FlashChunk,
    FlashOverwrite,
    FlashVerdict,
    QueryFirmware,
    TestFlash,
    WriteFlash, //
};
use ferrite_abi::firmware::ImageFault;
use ferrite_abi::regs::Features;
use ferrite_abi::wire::U16;

use super::{
    zero,
    Call,
    Handler,
    Named, //
};

impl Handler for QueryFirmware {
    const NEEDS: Features = Features::FLASH;
    const NAMES: Named = Named::Pf;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, data: &mut FirmwareInfo) -> Result<(), Status> {
        let firmware = &call.device.state.firmware;
        *data = firmware
            .info(self.component.get())
            .ok_or(Status::INVALID_FIELD)?;
        Ok(())
    }
}

impl Handler for BeginFlash {
    const NEEDS: Features = Features::FLASH;
    const NAMES: Named = Named::Pf;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let overwrite = FlashOverwrite(self.overwrite.get());
        let (component, length) = (self.component.get(), self.length.get());
        let firmware = &mut call.device.state.firmware;
        firmware
            .begin(component, overwrite, length)
            .then_some(())
            .ok_or(Status::INVALID_FIELD)
    }
}

impl Handler for WriteFlash {
    const NEEDS: Features = Features::FLASH;
    const NAMES: Named = Named::Pf;

    fn least_data(&self) -> usize {
        (self.length.get() as usize).min(size_of::<FlashChunk>())
    }

    fn handle(&self, call: &mut Call<'_>, data: &mut FlashChunk) -> Result<(), Status> {
        let firmware = &mut call.device.state.firmware;
        let (written, length) = firmware.progress().ok_or(Status::BAD_STATE)?;
        let part = self.length.get();
        let bytes = data.bytes.get(..part as usize);
        match bytes {
            Some(bytes) if part > 0 && self.offset.get() == written && part <= length - written => {
                firmware.write(bytes);
                Ok(())
            }
            _ => Err(Status::INVALID_FIELD),
        }
    }
}

impl Handler for EndFlash {
    const NEEDS: Features = Features::FLASH;
    const NAMES: Named = Named::Pf;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<FlashVerdict, Status> {
        let (fault, slot) = call.device.state.firmware.end().ok_or(Status::BAD_STATE)?;
        Ok(verdict(fault, slot))
    }
}

impl Handler for TestFlash {
    const NEEDS: Features = Features::FLASH;
    const NAMES: Named = Named::Pf;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<FlashVerdict, Status> {
        let firmware = &call.device.state.firmware;
        let (fault, slot) = firmware
            .test(self.component.get())
            .ok_or(Status::INVALID_FIELD)?;
        Ok(verdict(fault, slot))
    }
}

/// Says what is wrong with an image, if anything is.
fn verdict(fault: ImageFault, slot: u8) -> FlashVerdict {
    FlashVerdict {
        fault: U16::new(fault.0),
        slot,
        rsvd: 0,
    }
}

impl Handler for ActivateFirmware {
    const NEEDS: Features = Features::FLASH;
    const NAMES: Named = Named::Pf;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.device.state.firmware.activate();
        Ok(())
    }
}
