// SPDX-License-Identifier: GPL-2.0

//! What the driver of the PF does to move a VF, in the plainest way.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    BeginLoad,
    BeginSave,
    ConfigureFunction,
    EndLoad,
    EndSave,
    FunctionCaps,
    FunctionFields,
    LoadVerdict,
    ReadSave,
    ResumeFunction,
    SavePass,
    StreamChunk,
    SuspendFunction,
    SuspendLevel,
    WriteLoad,
    MAX_CHUNK, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::mig::StreamFault;
use ferrite_abi::wire::{
    U16,
    U32,
    U64, //
};

use crate::testing::{
    Driver,
    Machine, //
};

impl Driver {
    /// Lets a VF be migrated.
    ///
    /// # Panics
    ///
    /// When the device refuses.
    pub fn make_migratable(&mut self, machine: &mut Machine, vf: FunctionId) {
        let command = ConfigureFunction {
            mask: U16::new(FunctionFields::CAPS.0),
            caps: U16::new(FunctionCaps::MIGRATABLE.with(FunctionCaps::SPOOF_CHECK).0),
            ..ConfigureFunction::default()
        };
        self.send_about(machine, vf, command)
            .expect("cannot be migrated");
    }

    /// Suspends a VF.
    ///
    /// # Errors
    ///
    /// Returns the status if it is not `OK`.
    pub fn suspend(
        &mut self,
        machine: &mut Machine,
        vf: FunctionId,
        level: SuspendLevel,
    ) -> Result<(), Status> {
        let command = SuspendFunction {
            level: U16::new(level.0),
            rsvd: [0; 2],
        };
        self.send_about(machine, vf, command)
    }

    /// Resumes a VF.
    ///
    /// # Errors
    ///
    /// Returns the status if it is not `OK`.
    pub fn resume(
        &mut self,
        machine: &mut Machine,
        vf: FunctionId,
        level: SuspendLevel,
    ) -> Result<(), Status> {
        let command = ResumeFunction {
            level: U16::new(level.0),
            rsvd: [0; 2],
        };
        self.send_about(machine, vf, command)
    }

    /// Saves a part of a VF's stream.
    ///
    /// # Errors
    ///
    /// Returns the status if it is not `OK`.
    pub fn save_part(
        &mut self,
        machine: &mut Machine,
        vf: FunctionId,
        pass: SavePass,
        version: u16,
    ) -> Result<Vec<u8>, Status> {
        let begin = BeginSave {
            pass: U16::new(pass.0),
            version: U16::new(version),
        };
        let length = self.send_about(machine, vf, begin)?.length.get();
        let mut part = Vec::new();
        while part.len() < length as usize {
            let rest = length - part.len() as u32;
            let read = ReadSave {
                offset: U32::new(part.len() as u32),
                length: U32::new(rest.min(MAX_CHUNK as u32)),
            };
            let ((), chunk) = self.fetch_about(machine, vf, read)?;
            part.extend_from_slice(&chunk.bytes[..read.length.get() as usize]);
        }
        Ok(part)
    }

    /// Ends saving a VF.
    ///
    /// # Errors
    ///
    /// Returns the status if it is not `OK`.
    pub fn end_save(&mut self, machine: &mut Machine, vf: FunctionId) -> Result<(), Status> {
        self.send_about(machine, vf, EndSave {})
    }

    /// Loads a VF with a stream. Returns the verdict on it.
    ///
    /// # Errors
    ///
    /// Returns the status if it is not `OK`.
    pub fn load_stream(
        &mut self,
        machine: &mut Machine,
        vf: FunctionId,
        stream: &[u8],
    ) -> Result<LoadVerdict, Status> {
        self.send_about(machine, vf, BeginLoad {})?;
        self.write_stream(machine, vf, 0, stream)?;
        let end = EndLoad {
            commit: 1,
            rsvd: [0; 3],
        };
        self.send_about(machine, vf, end)
    }

    /// Hands a VF that is being loaded the piece of a stream that begins at `offset`. Returns the last
    /// verdict.
    ///
    /// # Errors
    ///
    /// Returns the status if it is not `OK`.
    pub fn write_stream(
        &mut self,
        machine: &mut Machine,
        vf: FunctionId,
        offset: u64,
        piece: &[u8],
    ) -> Result<LoadVerdict, Status> {
        let mut verdict = LoadVerdict::default();
        for (number, bytes) in piece.chunks(MAX_CHUNK).enumerate() {
            let mut chunk = StreamChunk {
                bytes: [0; MAX_CHUNK],
            };
            chunk.bytes[..bytes.len()].copy_from_slice(bytes);
            let write = WriteLoad {
                offset: U64::new(offset + (number * MAX_CHUNK) as u64),
                length: U32::new(bytes.len() as u32),
                rsvd: [0; 4],
            };
            verdict = self.send_about_with(machine, vf, write, &chunk)?;
        }
        Ok(verdict)
    }

    /// Moves a VF that runs to another VF that runs: suspends both, saves and loads, resumes the other
    /// and ends saving. Returns the stream.
    ///
    /// # Panics
    ///
    /// When the device refuses any of it.
    pub fn move_vf(&mut self, machine: &mut Machine, from: FunctionId, to: FunctionId) -> Vec<u8> {
        let mut stream = self
            .save_part(machine, from, SavePass::SETUP, 0)
            .expect("no first part");
        self.suspend(machine, from, SuspendLevel::INITIATOR)
            .expect("initiator goes on");
        self.suspend(machine, from, SuspendLevel::FULL)
            .expect("does not stop");
        let last = self
            .save_part(machine, from, SavePass::FINAL, 0)
            .expect("no last part");
        stream.extend(last);
        self.suspend(machine, to, SuspendLevel::FULL)
            .expect("destination does not stop");
        let verdict = self.load_stream(machine, to, &stream).expect("no verdict");
        assert_eq!(StreamFault(verdict.fault.get()), StreamFault::NONE);
        self.end_save(machine, from).expect("saving does not end");
        self.resume(machine, to, SuspendLevel::INITIATOR)
            .expect("does not start");
        self.resume(machine, to, SuspendLevel::RUNNING)
            .expect("does not go on");
        stream
    }
}
