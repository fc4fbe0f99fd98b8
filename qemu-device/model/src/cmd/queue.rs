// SPDX-License-Identifier: GPL-2.0

//! Handlers of the commands about TX and RX queues.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    CreateQueue,
    DestroyQueue,
    ModifyQueue,
    QueryQueue,
    QueryQueueDone,
    QueueFlags,
    QueueKind, //
};
use ferrite_abi::wire::{
    U16,
    U32, //
};

use super::{
    zero,
    Call,
    Handler,
    Named, //
};
use crate::host::Trace;
use crate::queue::{
    can_have,
    Kind,
    Queue,
    SetupError, //
};
use crate::rx::RxQueue;
use crate::tx::TxQueue;

impl From<SetupError> for Status {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Field => Self::INVALID_FIELD,
            SetupError::Dma => Self::DMA_FAULT,
        }
    }
}

impl Handler for CreateQueue {
    const NAMES: Named = Named::Ethernet;
    const CHANGES: bool = true;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.check_vector(self.vector.get())?;
        let kind = kind(self.kind)?;
        check_flags(kind, self.flags)?;
        let index = self.index.get();
        let target = call.target;
        let function = call.function()?;
        if usize::from(index) >= function.tx.len() {
            return Err(Status::INVALID_FIELD);
        }
        if function.queue(kind, index).is_some() {
            return Err(Status::IN_USE);
        }
        let queue = Queue::new(target, kind, self)?;
        queue.probe(&mut call.device.bus(call.host, target.pci()))?;
        let entries = queue.depth.entries();
        let function = call.function()?;
        match kind {
            Kind::Tx => function.tx[usize::from(index)] = Some(Box::new(TxQueue::new(queue))),
            Kind::Rx => function.rx[usize::from(index)] = Some(Box::new(RxQueue::new(queue))),
        }
        call.host.trace(&Trace::QueueCreated {
            function: target.id().0,
            kind: kind.code(),
            index,
            entries,
        });
        Ok(())
    }
}

impl Handler for DestroyQueue {
    const CHANGES: bool = true;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let kind = kind(self.kind)?;
        let index = self.index.get();
        find(call, kind, index)?;
        call.device.destroy_queue(call.target, kind, index);
        call.host.trace(&Trace::QueueDestroyed {
            function: call.target.id().0,
            kind: kind.code(),
            index,
        });
        Ok(())
    }
}

impl Handler for ModifyQueue {
    const CHANGES: bool = true;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let kind = kind(self.kind)?;
        check_flags(kind, self.flags)?;
        let index = self.index.get();
        let had = find(call, kind, index)?.flags;
        if had.contains(QueueFlags::HEADERS) != QueueFlags(self.flags).contains(QueueFlags::HEADERS)
        {
            return Err(Status::INVALID_FIELD);
        }
        call.device.modify_queue(call.host, call.target, kind, self);
        Ok(())
    }
}

impl Handler for QueryQueue {
    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<QueryQueueDone, Status> {
        let kind = kind(self.kind)?;
        let queue = find(call, kind, self.index.get())?;
        Ok(QueryQueueDone {
            head: U32::new(queue.head.0),
            cq_tail: U32::new(queue.cq_tail.0),
            syndrome: U16::new(queue.syndrome.0),
            rsvd: [0; 2],
        })
    }
}

/// Checks the flags of a queue.
fn check_flags(kind: Kind, flags: u8) -> Result<(), Status> {
    if can_have(kind, QueueFlags(flags)) {
        Ok(())
    } else {
        Err(Status::INVALID_FIELD)
    }
}

/// Returns the kind of queue that a command names.
fn kind(code: U16) -> Result<Kind, Status> {
    Kind::of(QueueKind(code.get())).ok_or(Status::INVALID_FIELD)
}

/// Returns the queue that a command names.
fn find<'a>(call: &'a mut Call<'_>, kind: Kind, index: u16) -> Result<&'a Queue, Status> {
    let function = call.function()?;
    if usize::from(index) >= function.tx.len() {
        return Err(Status::INVALID_FIELD);
    }
    function.queue(kind, index).ok_or(Status::BAD_STATE)
}
