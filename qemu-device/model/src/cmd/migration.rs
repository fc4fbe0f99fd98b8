// SPDX-License-Identifier: GPL-2.0

//! Handlers of the commands by which a VF is moved to another device.

use ferrite_abi::admin::{
    Command,
    Status, //
};
use ferrite_abi::cmd::{
    BeginLoad,
    BeginSave,
    BeginSaveDone,
    EndLoad,
    EndSave,
    FaultKind,
    LoadVerdict,
    MigrationInfo,
    QueryMigration,
    QuerySave,
    QuerySaveDone,
    ReadSave,
    ResumeFunction,
    SavePass,
    StreamChunk,
    SuspendFunction,
    SuspendLevel,
    WriteLoad,
    MAX_CHUNK, //
};
use ferrite_abi::regs::Features;
use ferrite_abi::wire::U32;

use super::{
    zero,
    Call,
    Handler,
    Named, //
};

impl Handler for QueryMigration {
    const NEEDS: Features = Features::MIGRATION;
    const NAMES: Named = Named::Migratable;

    fn handle(&self, call: &mut Call<'_>, data: &mut MigrationInfo) -> Result<(), Status> {
        *data = call.device.migration_info(call.host, call.target);
        Ok(())
    }
}

impl Handler for SuspendFunction {
    const NEEDS: Features = Features::MIGRATION;
    const NAMES: Named = Named::Migratable;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let level = SuspendLevel(self.level.get());
        call.device.suspend(call.host, call.target, level)
    }
}

impl Handler for ResumeFunction {
    const NEEDS: Features = Features::MIGRATION;
    const NAMES: Named = Named::Migratable;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let level = SuspendLevel(self.level.get());
        call.device.resume(call.host, call.target, level)
    }
}

impl Handler for BeginSave {
    const NEEDS: Features = Features::MIGRATION;
    const NAMES: Named = Named::Migratable;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<BeginSaveDone, Status> {
        let (pass, version) = (SavePass(self.pass.get()), self.version.get());
        let mut length = call
            .device
            .begin_save(call.host, call.target, pass, version)?;
        if let Some(strike) = call.strike(FaultKind::SHORT_STREAM, Self::OPCODE) {
            if let Some(saving) = call.device.saving(call.target) {
                length = saving.shorten(strike.param);
            }
        }
        Ok(BeginSaveDone {
            length: U32::new(length),
        })
    }
}

impl Handler for ReadSave {
    const NEEDS: Features = Features::MIGRATION;
    const NAMES: Named = Named::Migratable;

    fn least_data(&self) -> usize {
        // One that is too long is refused for that.
        (self.length.get() as usize).min(MAX_CHUNK)
    }

    fn handle(&self, call: &mut Call<'_>, chunk: &mut StreamChunk) -> Result<(), Status> {
        let (offset, length) = (self.offset.get(), self.length.get());
        let saving = call.device.saving(call.target).ok_or(Status::BAD_STATE)?;
        let to = chunk
            .bytes
            .get_mut(..length as usize)
            .filter(|to| !to.is_empty())
            .ok_or(Status::INVALID_FIELD)?;
        let piece = saving.read(offset, length).ok_or(Status::INVALID_FIELD)?;
        to.copy_from_slice(piece);
        if let Some(strike) = call.strike(FaultKind::CORRUPT_STREAM, Self::OPCODE) {
            strike.bit(to);
        }
        Ok(())
    }
}

impl Handler for QuerySave {
    const NEEDS: Features = Features::MIGRATION;
    const NAMES: Named = Named::Migratable;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<QuerySaveDone, Status> {
        Ok(call.device.query_save(call.host, call.target))
    }
}

impl Handler for EndSave {
    const NEEDS: Features = Features::MIGRATION;
    const NAMES: Named = Named::Migratable;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.device.end_save(call.target);
        Ok(())
    }
}

impl Handler for BeginLoad {
    const NEEDS: Features = Features::MIGRATION;
    const NAMES: Named = Named::Migratable;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.device.begin_load(call.target)
    }
}

impl Handler for WriteLoad {
    const NEEDS: Features = Features::MIGRATION;
    const NAMES: Named = Named::Migratable;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn least_data(&self) -> usize {
        // One that is too long is refused for that.
        (self.length.get() as usize).min(MAX_CHUNK)
    }

    fn handle(&self, call: &mut Call<'_>, chunk: &mut StreamChunk) -> Result<LoadVerdict, Status> {
        let piece = chunk
            .bytes
            .get(..self.length.get() as usize)
            .filter(|piece| !piece.is_empty())
            .ok_or(Status::INVALID_FIELD)?;
        call.device
            .write_load(call.target, self.offset.get(), piece)
    }
}

impl Handler for EndLoad {
    const NEEDS: Features = Features::MIGRATION;
    const NAMES: Named = Named::Migratable;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd) && self.commit <= 1
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<LoadVerdict, Status> {
        call.device
            .end_load(call.host, call.target, self.commit == 1)
    }
}
