// SPDX-License-Identifier: GPL-2.0

//! Handlers of the commands about the device and its functions as a whole.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    CopyMemory,
    CreateEventQueue,
    DestroyEventQueue,
    Echo,
    EchoDone,
    Identify,
    Identity,
    QueryClock,
    QueryClockDone,
    QueryFunction,
    QueryFunctionDone,
    MAX_COPY,
    MAX_RSS_TABLE, //
};
use ferrite_abi::ids::MAX_MTU;
use ferrite_abi::regs::FirmwareVersion;
use ferrite_abi::ring::Depth;
use ferrite_abi::wire::{
    U16,
    U32,
    U64, //
};

use super::{
    zero,
    Call,
    Handler, //
};
use crate::config::{
    ASIC,
    ASIC_REVISION,
    FIRMWARE_SLOTS, //
};
use crate::events::EventQueue;
use crate::host::DmaFault;
use crate::slot::Slot;
use crate::text::padded;

impl Handler for Echo {
    fn handle(&self, _: &mut Call<'_>, _: &mut [u8; 0]) -> Result<EchoDone, Status> {
        Ok(EchoDone { value: self.value })
    }
}

impl Handler for QueryClock {
    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<QueryClockDone, Status> {
        Ok(QueryClockDone {
            time: U64::new(call.host.now_ns()),
        })
    }
}

impl Handler for CopyMemory {
    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let length = self.length.get();
        let (from, to) = (self.source.get(), self.destination.get());
        let ends = |start: u64| start.checked_add(u64::from(length)).is_some();
        if !(1..=MAX_COPY).contains(&length) || !ends(from) || !ends(to) {
            return Err(Status::INVALID_FIELD);
        }
        let mut bytes = vec![0; length as usize];
        let mut bus = call.device.bus(call.host, call.sender);
        bus.read(from, &mut bytes)
            .and_then(|()| bus.write(to, &bytes))
            .map_err(|DmaFault| Status::DMA_FAULT)
    }
}

impl Handler for Identify {
    fn handle(&self, call: &mut Call<'_>, data: &mut Identity) -> Result<(), Status> {
        let config = &call.device.config;
        let (running, stored) = call.device.state.firmware.versions();
        *data = Identity {
            serial: padded(&config.serial),
            asic: padded(ASIC),
            fw_running: padded(&version(running)),
            fw_stored: padded(&version(stored)),
            asic_revision: U16::new(ASIC_REVISION),
            max_vfs: U16::new(config.max_vfs),
            max_sfs: U16::new(config.max_sfs),
            firmware_slots: U16::new(FIRMWARE_SLOTS),
            uuid: config.uuid,
            total_vf_vectors: U32::new(config.total_vf_vectors()),
            max_vf_vectors: U16::new(config.max_vf_vectors()),
            rsvd: [0; 114],
        };
        Ok(())
    }
}

impl Handler for QueryFunction {
    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<QueryFunctionDone, Status> {
        let doorbell_page = call.target.id().doorbell_page();
        let function = call.function()?;
        Ok(QueryFunctionDone {
            mac: function.port.mac.0,
            mtu: U16::new(function.port.mtu),
            max_mtu: U16::new(MAX_MTU),
            // CAST: as many as the device was set up with.
            max_queues: U16::new(function.tx.len() as u16),
            state: U16::new(function.state.0),
            doorbell_page: U16::new(doorbell_page.ok_or(Status::INTERNAL)?),
            // CAST: a constant.
            rss_table: U16::new(MAX_RSS_TABLE as u16),
            max_depth_log2: *Depth::LOG2_RANGE.end(),
            rsvd: 0,
        })
    }
}

impl Handler for CreateEventQueue {
    const CHANGES: bool = true;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.check_vector(self.vector.get())?;
        let events = events(call)?;
        if events.is_some() {
            return Err(Status::IN_USE);
        }
        let depth = Depth::from_log2(self.depth_log2).ok_or(Status::INVALID_FIELD)?;
        let queue = EventQueue::new(self.ring_addr.get(), self.vector.get(), depth);
        *events = Some(queue.ok_or(Status::INVALID_FIELD)?);
        Ok(())
    }
}

impl Handler for DestroyEventQueue {
    const CHANGES: bool = true;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        events(call)?.take().map(|_| ()).ok_or(Status::BAD_STATE)
    }
}

/// Returns the place of the sender's event queue; a command about another's is refused.
fn events<'a>(call: &'a mut Call<'_>) -> Result<&'a mut Option<EventQueue>, Status> {
    if Slot::of_pci(call.sender) != Some(call.target) {
        return Err(Status::INVALID_FUNCTION);
    }
    Ok(&mut call.device.state.pci[usize::from(call.sender.0)].events)
}

fn version(version: u32) -> String {
    let version = FirmwareVersion(version);
    format!(
        "{}.{}.{}",
        version.major(),
        version.minor(),
        version.patch()
    )
}
