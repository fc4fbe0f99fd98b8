// SPDX-License-Identifier: GPL-2.0

//! A virtqueue, as far as the driver knows of it.

use ferrite_abi::{
    cmd::{
        DisableVirtqueue,
        EnableVirtqueue,
        SetVirtqueueVector,
        VIRTIO_NO_VECTOR, //
    },
    wire::{
        U16,
        U64, //
    },
};
use ferrite_aux::{
    CmdError,
    Function, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    irq::{
        Handler,
        IrqReturn, //
    },
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    irq,
    vdpa::{
        Areas,
        Callback, //
    },
};

/// Calls whoever uses the queue.
struct Used(Callback);

impl Handler for Used {
    #[inline]
    fn handle(&self, _device: &Device<Bound>) -> IrqReturn {
        self.0.call();
        IrqReturn::Handled
    }
}

/// A virtqueue.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) areas: Areas,
    pub(crate) size: u16,
    /// Where it begins, or where it stood when it was made not ready: as the device tells it.
    pub(crate) position: Option<(u16, u16)>,
    pub(crate) callback: Option<Callback>,
    pub(crate) ready: bool,
    /// The device stopped it since it was made ready.
    pub(crate) stopped: bool,
    interrupt: Option<irq::Registration>,
}

impl Queue {
    /// Requests a vector for the callback, if there is one. Returns the number to tell the device.
    fn connect(&self, function: &Function, index: u16) -> Result<(Option<irq::Registration>, u16)> {
        let Some(callback) = self.callback else {
            return Ok((None, VIRTIO_NO_VECTOR));
        };
        let handler = Arc::new(Used(callback), GFP_KERNEL)?;
        let nth = index % function.description().max_queues.max(1);
        let id = function.id().0;
        let registration =
            function.request_vector(nth, fmt!("ferrite_vdpa-{id}-{index}"), handler)?;
        let vector = registration.vector();
        Ok((Some(registration), vector))
    }

    /// Makes the queue ready; `start` is where a new one begins.
    pub(crate) fn enable(&mut self, function: &Function, index: u16, start: (u16, u16)) -> Result {
        let (interrupt, vector) = self.connect(function, index)?;
        let (avail, used) = self.position.unwrap_or(start);
        function.send(EnableVirtqueue {
            descriptors: U64::new(self.areas.descriptors),
            driver: U64::new(self.areas.driver),
            device: U64::new(self.areas.device),
            index: U16::new(index),
            size: U16::new(self.size),
            vector: U16::new(vector),
            avail: U16::new(avail),
            used: U16::new(used),
            rsvd: [0; 6],
        })?;
        self.interrupt = interrupt;
        self.ready = true;
        Ok(())
    }

    /// Makes the queue not ready, and keeps where it stood.
    pub(crate) fn disable(&mut self, function: &Function, index: u16) -> Result<(), CmdError> {
        let disable = DisableVirtqueue {
            index: U16::new(index),
            rsvd: [0; 2],
        };
        let result = function.send(disable);
        self.ready = false;
        self.interrupt = None;
        self.position = result
            .as_ref()
            .ok()
            .map(|state| (state.avail.get(), state.used.get()));
        result.map(|_| ())
    }

    /// Has someone else called. The one before is not called any more when this returns.
    pub(crate) fn set_callback(
        &mut self,
        function: &Function,
        index: u16,
        callback: Option<Callback>,
    ) -> Result {
        self.callback = callback;
        if !self.ready {
            self.interrupt = None;
            return Ok(());
        }
        let connected = self.connect(function, index);
        let (interrupt, vector) = match connected {
            Ok(connected) => connected,
            Err(error) => {
                self.interrupt = None;
                return Err(error);
            }
        };
        let set = SetVirtqueueVector {
            index: U16::new(index),
            vector: U16::new(vector),
        };
        let result = function.send(set);
        self.interrupt = interrupt;
        // What came between the two vectors is not known of.
        if let Some(callback) = callback {
            callback.call();
        }
        Ok(result?)
    }

    /// Returns the Linux interrupt that belongs to this queue alone.
    pub(crate) fn irq(&self) -> Option<u32> {
        let interrupt = self.interrupt.as_ref()?;
        interrupt.is_alone().then(|| interrupt.irq())
    }

    /// Returns to what a queue is after a reset.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}
