// SPDX-License-Identifier: GPL-2.0

//! Handlers of the commands about the log of what a VF writes to memory.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    DirtyRun,
    DirtyRuns,
    LogRange,
    LogRanges,
    ReadDirtyLog,
    ReadDirtyLogDone,
    StartDirtyLog,
    StartDirtyLogDone,
    StopDirtyLog, //
};
use ferrite_abi::regs::Features;
use ferrite_abi::wire::U16;

use super::{
    zero,
    Call,
    Handler,
    Named, //
};
use crate::dirty::{
    span,
    DirtyLog, //
};

impl Handler for StartDirtyLog {
    const NEEDS: Features = Features::DMA_LOG;
    const NAMES: Named = Named::Migratable;

    fn is_clean(&self) -> bool {
        self.rsvd == 0
    }

    fn least_data(&self) -> usize {
        // A number that is too large is refused for that.
        (usize::from(self.count.get()) * size_of::<LogRange>()).min(size_of::<LogRanges>())
    }

    fn handle(
        &self,
        call: &mut Call<'_>,
        data: &mut LogRanges,
    ) -> Result<StartDirtyLogDone, Status> {
        let function = call.target.pci();
        call.device.check_active(call.target)?;
        let logs = &mut call.device.state.logs;
        if logs.has(function) {
            return Err(Status::IN_USE);
        }
        let ranges = data
            .ranges
            .get(..self.count.get().into())
            .ok_or(Status::INVALID_FIELD)?;
        let log = DirtyLog::new(ranges, self.page_shift, self.max_runs.get())?;
        let page_shift = log.page_shift();
        logs.start(function, log);
        Ok(StartDirtyLogDone {
            page_shift,
            rsvd: [0; 3],
        })
    }
}

impl Handler for ReadDirtyLog {
    const NEEDS: Features = Features::DMA_LOG;
    const NAMES: Named = Named::Migratable;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn least_data(&self) -> usize {
        size_of::<DirtyRun>()
    }

    fn handle(
        &self,
        call: &mut Call<'_>,
        data: &mut DirtyRuns,
    ) -> Result<ReadDirtyLogDone, Status> {
        let logs = &mut call.device.state.logs;
        let log = logs.get(call.target.pci()).ok_or(Status::BAD_STATE)?;
        let span = span(self.iova.get(), self.length.get()).ok_or(Status::INVALID_FIELD)?;
        let room = call.room / size_of::<DirtyRun>();
        let (flags, runs) = log.read(span, self.number.get(), room);
        for (to, run) in data.runs.iter_mut().zip(&runs) {
            *to = *run;
        }
        Ok(ReadDirtyLogDone {
            // CAST: no more than the buffer has room for.
            runs: U16::new(runs.len() as u16),
            flags: U16::new(flags.0),
            number: self.number,
        })
    }
}

impl Handler for StopDirtyLog {
    const NEEDS: Features = Features::DMA_LOG;
    const NAMES: Named = Named::Migratable;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.device.state.logs.stop(call.target.pci());
        Ok(())
    }
}
