// SPDX-License-Identifier: GPL-2.0

//! The machine that the device is plugged into, as a table of callbacks.

use std::ffi::c_void;

use ferrite_model::{
    BusError,
    DmaFault,
    Host,
    PciFn,
    Trace, //
};

/// What the device asks of the machine. `opaque` is the first argument of every callback. A PCI
/// function is 0 for the PF, `1 + i` for VF `i`; it may be one that does not exist or is off, whose
/// accesses fail and whose interrupts are lost.
///
/// A callback that calls back into the device is refused, see `ferrite_device_new`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FerriteHost {
    /// Passed to every callback.
    pub opaque: *mut c_void,
    /// Reads `len` bytes of memory at `addr` into `buf`. Returns whether it could.
    pub dma_read: unsafe extern "C" fn(
        opaque: *mut c_void,
        function: u16,
        addr: u64,
        buf: *mut u8,
        len: usize,
    ) -> bool,
    /// Writes `len` bytes of `buf` to memory at `addr`. Returns whether it could.
    pub dma_write: unsafe extern "C" fn(
        opaque: *mut c_void,
        function: u16,
        addr: u64,
        buf: *const u8,
        len: usize,
    ) -> bool,
    /// Reads an aligned little-endian word of memory in one access, with acquire semantics.
    /// Returns whether it could.
    pub dma_load32: unsafe extern "C" fn(
        opaque: *mut c_void,
        function: u16,
        addr: u64,
        value: *mut u32,
    ) -> bool,
    /// Writes an aligned little-endian word of memory in one access, with release semantics and a
    /// full barrier behind it. Returns whether it could.
    pub dma_store32:
        unsafe extern "C" fn(opaque: *mut c_void, function: u16, addr: u64, value: u32) -> bool,
    /// Raises an MSI-X vector.
    pub raise: unsafe extern "C" fn(opaque: *mut c_void, function: u16, vector: u16),
    /// Returns whether an MSI-X vector was raised and is pending, as it is masked.
    pub is_pending: unsafe extern "C" fn(opaque: *mut c_void, function: u16, vector: u16) -> bool,
    /// Changes the size of the MSI-X table that the capability of a VF tells.
    pub set_vectors: unsafe extern "C" fn(opaque: *mut c_void, function: u16, vectors: u16),
    /// Reports an error of a PCI function to the bus (AER): 0 correctable, 1 not fatal, 2 fatal.
    pub report_error: unsafe extern "C" fn(opaque: *mut c_void, function: u16, severity: u32),
    /// Sends a frame through the uplink.
    pub uplink_send: unsafe extern "C" fn(opaque: *mut c_void, frame: *const u8, len: usize),
    /// Tells that a frame that was refused by `ferrite_device_receive` would be taken now.
    pub uplink_ready: unsafe extern "C" fn(opaque: *mut c_void),
    /// Returns the time in nanoseconds.
    pub now: unsafe extern "C" fn(opaque: *mut c_void) -> u64,
    /// Asks for `ferrite_device_timer` at this time, and at no other any more.
    pub set_timer: unsafe extern "C" fn(opaque: *mut c_void, at: u64),
    /// Takes back what was asked with `set_timer`.
    pub cancel_timer: unsafe extern "C" fn(opaque: *mut c_void),
    /// Asks for `ferrite_device_run` soon.
    pub schedule: unsafe extern "C" fn(opaque: *mut c_void),
    /// Takes note of what happened: a `FerriteTrace` and its four words.
    pub trace: unsafe extern "C" fn(opaque: *mut c_void, kind: u32, words: *const u64),
}

// SAFETY: the table is a pointer that is never dereferenced on this side and addresses of
// functions; by rule 2 of this crate the callbacks may be called wherever `opaque` was given for,
// and one call at a time is ensured by the lock around the device.
unsafe impl Send for FerriteHost {}

impl Host for FerriteHost {
    fn dma_read(&mut self, function: PciFn, addr: u64, buf: &mut [u8]) -> Result<(), DmaFault> {
        // SAFETY: `buf` is valid for reads and writes of its length until the return; `opaque` is
        // what was given for this callback.
        let done =
            unsafe { (self.dma_read)(self.opaque, function.0, addr, buf.as_mut_ptr(), buf.len()) };
        done.then_some(()).ok_or(DmaFault)
    }

    fn dma_write(&mut self, function: PciFn, addr: u64, buf: &[u8]) -> Result<(), DmaFault> {
        // SAFETY: `buf` is valid for reads of its length until the return; `opaque` is what was
        // given for this callback.
        let done =
            unsafe { (self.dma_write)(self.opaque, function.0, addr, buf.as_ptr(), buf.len()) };
        done.then_some(()).ok_or(DmaFault)
    }

    fn dma_load32(&mut self, function: PciFn, addr: u64) -> Result<u32, DmaFault> {
        let mut value = 0;
        // SAFETY: `value` is a local that lives until after the return; `opaque` is what was given
        // for this callback.
        let done = unsafe { (self.dma_load32)(self.opaque, function.0, addr, &mut value) };
        done.then_some(value).ok_or(DmaFault)
    }

    fn dma_store32(&mut self, function: PciFn, addr: u64, value: u32) -> Result<(), DmaFault> {
        // SAFETY: all arguments are values; `opaque` is what was given for this callback.
        let done = unsafe { (self.dma_store32)(self.opaque, function.0, addr, value) };
        done.then_some(()).ok_or(DmaFault)
    }

    fn raise(&mut self, function: PciFn, vector: u16) {
        // SAFETY: all arguments are values; `opaque` is what was given for this callback.
        unsafe { (self.raise)(self.opaque, function.0, vector) }
    }

    fn is_pending(&self, function: PciFn, vector: u16) -> bool {
        // SAFETY: all arguments are values; `opaque` is what was given for this callback.
        unsafe { (self.is_pending)(self.opaque, function.0, vector) }
    }

    fn set_vectors(&mut self, function: PciFn, vectors: u16) {
        // SAFETY: all arguments are values; `opaque` is what was given for this callback.
        unsafe { (self.set_vectors)(self.opaque, function.0, vectors) }
    }

    fn report_error(&mut self, function: PciFn, error: BusError) {
        // SAFETY: all arguments are values; `opaque` is what was given for this callback.
        unsafe { (self.report_error)(self.opaque, function.0, error as u32) }
    }

    fn uplink_send(&mut self, frame: &[u8]) {
        // SAFETY: `frame` is valid for reads of its length until the return; `opaque` is what was
        // given for this callback.
        unsafe { (self.uplink_send)(self.opaque, frame.as_ptr(), frame.len()) }
    }

    fn uplink_ready(&mut self) {
        // SAFETY: `opaque` is what was given for this callback.
        unsafe { (self.uplink_ready)(self.opaque) }
    }

    fn now_ns(&self) -> u64 {
        // SAFETY: `opaque` is what was given for this callback.
        unsafe { (self.now)(self.opaque) }
    }

    fn set_timer(&mut self, at_ns: Option<u64>) {
        match at_ns {
            // SAFETY: all arguments are values; `opaque` is what was given for this callback.
            Some(at) => unsafe { (self.set_timer)(self.opaque, at) },
            // SAFETY: `opaque` is what was given for this callback.
            None => unsafe { (self.cancel_timer)(self.opaque) },
        }
    }

    fn schedule(&mut self) {
        // SAFETY: `opaque` is what was given for this callback.
        unsafe { (self.schedule)(self.opaque) }
    }

    fn trace(&mut self, event: &Trace) {
        let (kind, words) = event.words();
        // SAFETY: `words` is a local array of four words that lives until after the return;
        // `opaque` is what was given for this callback.
        unsafe { (self.trace)(self.opaque, kind, words.as_ptr()) }
    }
}

/// Kinds of what `FerriteHost::trace` takes note of, each with the meaning of its words.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FerriteTrace {
    /// A PCI function was reset: PCI function.
    Reset = 0,
    /// An admin queue was turned on or off: PCI function, whether it runs, error.
    AdminQueue,
    /// A command was carried out: PCI function, opcode, tag, status.
    Command,
    /// An event was written or dropped: PCI function, kind, sequence number, whether written.
    Event,
    /// A queue was created: function id, kind, index, entries.
    QueueCreated,
    /// A queue was destroyed: function id, kind, index.
    QueueDestroyed,
    /// A queue stopped after an error: function id, kind, index, syndrome.
    QueueStopped,
    /// Completions were published: function id, kind, index, tail.
    Completions,
    /// An interrupt was raised: PCI function, vector.
    Interrupt,
    /// An injected fault took effect: kind, parameter.
    Fault,
    /// The number of VFs changed: number.
    Vfs,
    /// The link of the uplink changed: whether it is up.
    Uplink,
    /// A function changed its state: function id, state.
    Function,
    /// A function was suspended or resumed: PCI function, level.
    Suspended,
    /// A stream was loaded or refused: PCI function, fault, tag of the record at fault.
    Loaded,
    /// The driver did what it must not: PCI function, which mistake, value.
    GuestError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_traces_are_those_of_the_model_in_its_order() {
        let kinds = [
            FerriteTrace::Reset,
            FerriteTrace::AdminQueue,
            FerriteTrace::Command,
            FerriteTrace::Event,
            FerriteTrace::QueueCreated,
            FerriteTrace::QueueDestroyed,
            FerriteTrace::QueueStopped,
            FerriteTrace::Completions,
            FerriteTrace::Interrupt,
            FerriteTrace::Fault,
            FerriteTrace::Vfs,
            FerriteTrace::Uplink,
            FerriteTrace::Function,
            FerriteTrace::Suspended,
            FerriteTrace::Loaded,
            FerriteTrace::GuestError,
        ];
        let names: Vec<String> = kinds
            .iter()
            .enumerate()
            .map(|(number, kind)| {
                assert_eq!(*kind as usize, number);
                let camel = format!("{kind:?}");
                let mut snake = String::new();
                for letter in camel.chars() {
                    if letter.is_uppercase() && !snake.is_empty() {
                        snake.push('_');
                    }
                    snake.extend(letter.to_lowercase());
                }
                snake
            })
            .collect();
        assert_eq!(names, Trace::KINDS);
    }
}
