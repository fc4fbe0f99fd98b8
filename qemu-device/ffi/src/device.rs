// SPDX-License-Identifier: GPL-2.0

//! The device: made, called and freed by C.
//!
//! One call at a time is inside of a device. A second one, from a callback or another thread, is
//! refused: it does nothing and returns what its documentation says. So no promise of the caller
//! about threads or re-entry is needed for memory safety.

use std::ffi::{
    c_char,
    c_void, //
};
use std::sync::{
    Arc,
    Mutex, //
};

use ferrite_model::{
    Config,
    Device,
    Latch,
    PciFn,
    Received, //
};

use crate::host::FerriteHost;
use crate::text;

/// Largest saved state that is written or read, in bytes.
pub const FERRITE_MAX_STATE: u32 = 64 << 20;

/// Why a call is refused while another is inside.
const BUSY: &str = "the device is busy";

/// A device. Opaque to C.
pub struct FerriteDevice {
    inside: Mutex<Inside>,
    latch: Arc<Latch>,
}

/// What one call at a time may touch.
struct Inside {
    device: Device,
    host: FerriteHost,
}

const _: () = {
    const fn is_sync<T: Sync>() {}
    is_sync::<FerriteDevice>();
};

impl FerriteDevice {
    /// Returns the doorbells.
    pub(crate) fn latch(&self) -> Arc<Latch> {
        self.latch.clone()
    }

    /// Does something with the device, or returns [`None`] if a call is inside already.
    fn enter<R>(&self, call: impl FnOnce(&mut Device, &mut FerriteHost) -> R) -> Option<R> {
        let mut inside = self.inside.try_lock().ok()?;
        let Inside { device, host } = &mut *inside;
        Some(call(device, host))
    }
}

/// How a device is set up: the properties of the same names.
#[repr(C)]
pub struct FerriteConfig {
    /// MAC address of the PF.
    pub mac: [u8; 6],
    /// Largest number of TX queues, and of RX queues, of each function.
    pub num_queues: u16,
    /// Largest number of VFs.
    pub max_vfs: u16,
    /// Largest number of SFs.
    pub max_sfs: u16,
    /// MSI-X vectors of the PF.
    pub pf_vectors: u16,
    /// MSI-X vectors that each VF comes with.
    pub vf_vectors: u16,
    /// Whether VFs can be suspended and resumed by registers of their own.
    pub vf_controls: bool,
    /// Whether faults can be injected.
    pub faults: bool,
    /// Faults that are armed from the start, or NULL.
    pub fault_script: *const c_char,
    /// Serial number of the board, or NULL for one made of the MAC address.
    pub serial: *const c_char,
    /// Identity of this very device.
    pub uuid: [u8; 16],
}

/// Makes a device, for `ferrite_device_free` to free. `host` is copied. Where that cannot be done,
/// returns NULL and writes the reason to `error`, which has room for `error_size` bytes.
///
/// While a call is inside of the device, every other call but `ferrite_latch_ring` is refused:
/// from callbacks, that is, and from other threads.
///
/// # Safety
///
/// `config` and `host` must be valid for reads, the strings in `config` must be NULL or end with a
/// NUL, and `error` must be valid for writes of `error_size` bytes. Until the device is freed, the
/// callbacks of `host` must keep to rule 2 of this crate.
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_new(
    config: *const FerriteConfig,
    host: *const FerriteHost,
    error: *mut c_char,
    error_size: usize,
) -> *mut FerriteDevice {
    // SAFETY: both are valid for reads by the caller's promise, and are only read during this call.
    let (config, host) = unsafe { (&*config, *host) };
    // SAFETY: the strings are NULL or end with a NUL by the caller's promise.
    let (fault_script, serial) = unsafe {
        (
            text::from_c(config.fault_script),
            text::from_c(config.serial),
        )
    };
    let [.., a, b, c] = config.mac;
    let config = Config {
        mac: config.mac,
        num_queues: config.num_queues,
        max_vfs: config.max_vfs,
        max_sfs: config.max_sfs,
        pf_vectors: config.pf_vectors,
        vf_vectors: config.vf_vectors,
        vf_controls: config.vf_controls,
        faults: config.faults,
        fault_script,
        serial: if config.serial.is_null() {
            format!("FE{a:02X}{b:02X}{c:02X}")
        } else {
            serial
        },
        uuid: config.uuid,
        ..Config::default()
    };
    match Device::new(config) {
        Ok(device) => Box::into_raw(Box::new(FerriteDevice {
            latch: device.doorbells(),
            inside: Mutex::new(Inside { device, host }),
        })),
        Err(reason) => {
            // SAFETY: `error` is valid for writes of `error_size` bytes by the caller's promise.
            unsafe { text::to_c(&reason.to_string(), error, error_size) };
            std::ptr::null_mut()
        }
    }
}

/// Frees a device. NULL is ignored.
///
/// # Safety
///
/// `device` must be NULL or valid, must not be used any more, and no call may be inside of it.
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_free(device: *mut FerriteDevice) {
    if !device.is_null() {
        // SAFETY: by the caller's promise, `device` came from `Box::into_raw` in
        // `ferrite_device_new`, was not freed before, nobody borrows it and it is not used again.
        drop(unsafe { Box::from_raw(device) });
    }
}

/// Disarms all faults and arms those of a script, which a reset of the whole device arms, too. Where
/// that cannot be done, returns false, changes nothing, and writes the reason to `error`, which has
/// room for `error_size` bytes.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate), `script` must be NULL or end with a NUL, and
/// `error` must be valid for writes of `error_size` bytes.
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_set_fault_script(
    device: *const FerriteDevice,
    script: *const c_char,
    error: *mut c_char,
    error_size: usize,
) -> bool {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    // SAFETY: NULL or ends with a NUL by the caller's promise.
    let script = unsafe { text::from_c(script) };
    let reason = match device.enter(|device, _| device.set_fault_script(&script)) {
        Some(Ok(())) => return true,
        Some(Err(reason)) => reason.to_string(),
        None => String::from(BUSY),
    };
    // SAFETY: `error` is valid for writes of `error_size` bytes by the caller's promise.
    unsafe { text::to_c(&reason, error, error_size) };
    false
}

/// Borrows the device behind a pointer from C.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate) for as long as the reference is used.
unsafe fn borrow<'a>(device: *const FerriteDevice) -> &'a FerriteDevice {
    // SAFETY: by the caller's promise, `device` came from `Box::into_raw` in `ferrite_device_new`
    // and was not freed; only shared references to it are ever made.
    unsafe { &*device }
}

/// Reads `size` bytes at `offset` of the registers of a PCI function. All ones if refused.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate).
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_reg_read(
    device: *const FerriteDevice,
    function: u16,
    offset: u64,
    size: u8,
) -> u64 {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    device
        .enter(|device, host| device.reg_read(host, PciFn(function), offset, size))
        .unwrap_or(u64::MAX)
}

/// Writes `size` bytes at `offset` of the registers of a PCI function. Nothing is written if
/// refused.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate).
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_reg_write(
    device: *const FerriteDevice,
    function: u16,
    offset: u64,
    size: u8,
    value: u64,
) {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    device.enter(|device, host| device.reg_write(host, PciFn(function), offset, size, value));
}

/// Returns the largest number of MSI-X vectors that a VF may be given. 0 if refused.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate).
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_max_vf_vectors(device: *const FerriteDevice) -> u16 {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    device
        .enter(|device, _| device.config().max_vf_vectors())
        .unwrap_or(0)
}

/// Lets the device work. Returns whether there is more to do, also if refused.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate).
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_run(device: *const FerriteDevice, budget: u32) -> bool {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    device
        .enter(|device, host| device.run(host, budget))
        .unwrap_or(true)
}

/// Tells the device that the time it asked for has come. Calling it early does no harm.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate).
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_timer(device: *const FerriteDevice) {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    device.enter(|device, host| device.timer(host));
}

/// Returns whether the device takes a frame from the uplink now. It does not if refused.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate).
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_can_receive(device: *const FerriteDevice) -> bool {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    device
        .enter(|device, _| device.uplink_can_receive())
        .unwrap_or(false)
}

/// Gives the device a frame from the uplink. Returns whether it was taken, if only to be dropped;
/// otherwise, also if refused, it may be given again later.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate), and `frame` valid for reads of `len` bytes.
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_receive(
    device: *const FerriteDevice,
    frame: *const u8,
    len: usize,
) -> bool {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    // SAFETY: `frame` is valid for reads of `len` bytes by the caller's promise, and is only
    // borrowed during this call.
    let frame = unsafe { bytes(frame, len) };
    device
        .enter(|device, host| device.uplink_receive(host, frame) != Received::Full)
        .unwrap_or(false)
}

/// Tells whether the uplink is up. Refused calls are lost.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate).
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_set_uplink(device: *const FerriteDevice, up: bool) {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    device.enter(|device, host| device.set_uplink(host, up));
}

/// Resets a PCI function (FLR). Refused calls are lost.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate).
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_reset_function(
    device: *const FerriteDevice,
    function: u16,
) {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    device.enter(|device, host| device.reset_function(host, PciFn(function)));
}

/// Resets everything to what it is after power-on. Refused calls are lost.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate).
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_reset(device: *const FerriteDevice) {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    device.enter(|device, host| device.reset(host));
}

/// Tells how many VFs are enabled. Refused calls are lost.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate).
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_set_vfs(device: *const FerriteDevice, count: u16) {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    device.enter(|device, host| device.set_vfs(host, count));
}

/// Tells whether a PCI function may do DMA and raise interrupts. Refused calls are lost.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate).
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_set_bus_master(
    device: *const FerriteDevice,
    function: u16,
    enabled: bool,
) {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    device.enter(|device, host| device.set_bus_master(host, PciFn(function), enabled));
}

/// Saves the state of the device: calls `take` once with it. Returns whether it did; a state of
/// more than `FERRITE_MAX_STATE` bytes is not saved, nor is any if refused.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate). `take` must not use the bytes after it returns.
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_save(
    device: *const FerriteDevice,
    take: unsafe extern "C" fn(opaque: *mut c_void, state: *const u8, len: usize),
    opaque: *mut c_void,
) -> bool {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    let Some(state) = device.enter(|device, _| device.save()) else {
        return false;
    };
    if state.len() > FERRITE_MAX_STATE as usize {
        return false;
    }
    // SAFETY: `state` is valid for reads of its length until after the return, and is not used
    // later by the caller's promise; `opaque` is what was given for `take`.
    unsafe { take(opaque, state.as_ptr(), state.len()) };
    true
}

/// Loads a state of the device. Where that cannot be done, returns false, leaves the device as it
/// was, and writes the reason to `error`, which has room for `error_size` bytes.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate), `state` valid for reads of `len` bytes, and
/// `error` valid for writes of `error_size` bytes.
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_load(
    device: *const FerriteDevice,
    state: *const u8,
    len: usize,
    error: *mut c_char,
    error_size: usize,
) -> bool {
    // SAFETY: valid by the caller's promise.
    let device = unsafe { borrow(device) };
    // SAFETY: `state` is valid for reads of `len` bytes by the caller's promise, and is only
    // borrowed during this call.
    let state = unsafe { bytes(state, len) };
    let reason = match device.enter(|device, _| device.load(state)) {
        Some(Ok(())) => return true,
        Some(Err(reason)) => reason.to_string(),
        None => String::from(BUSY),
    };
    // SAFETY: `error` is valid for writes of `error_size` bytes by the caller's promise.
    unsafe { text::to_c(&reason, error, error_size) };
    false
}

/// Borrows bytes from C; none for NULL or a length that no slice can have.
///
/// # Safety
///
/// `data` must be NULL or valid for reads of `len` bytes that nobody writes while the slice is used.
unsafe fn bytes<'a>(data: *const u8, len: usize) -> &'a [u8] {
    if data.is_null() || isize::try_from(len).is_err() {
        return &[];
    }
    // SAFETY: `data` is not NULL, `len` fits an `isize`, and the rest is the caller's promise.
    unsafe { std::slice::from_raw_parts(data, len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::cell::Cell;
    use std::ptr::null;

    /// What the callbacks of a test find behind `opaque`.
    struct Machine {
        device: Cell<*const FerriteDevice>,
        /// What a register read from within a callback returned.
        seen: Cell<Option<u64>>,
        saved: Cell<Vec<u8>>,
    }

    /// Borrows the machine behind `opaque`.
    ///
    /// # Safety
    ///
    /// `opaque` must be what [`with_device`] gave to the device, within its call.
    unsafe fn machine<'a>(opaque: *mut c_void) -> &'a Machine {
        // SAFETY: by the caller's promise, this is the `Machine` that `with_device` holds a shared
        // reference to.
        unsafe { &*opaque.cast::<Machine>() }
    }

    unsafe extern "C" fn no_read(_: *mut c_void, _: u16, _: u64, _: *mut u8, _: usize) -> bool {
        false
    }
    unsafe extern "C" fn no_write(_: *mut c_void, _: u16, _: u64, _: *const u8, _: usize) -> bool {
        false
    }
    unsafe extern "C" fn no_load(_: *mut c_void, _: u16, _: u64, _: *mut u32) -> bool {
        false
    }
    unsafe extern "C" fn no_store(_: *mut c_void, _: u16, _: u64, _: u32) -> bool {
        false
    }
    unsafe extern "C" fn no_raise(_: *mut c_void, _: u16, _: u16) {}
    unsafe extern "C" fn not_pending(_: *mut c_void, _: u16, _: u16) -> bool {
        false
    }
    unsafe extern "C" fn no_report(_: *mut c_void, _: u16, _: u32) {}
    unsafe extern "C" fn no_send(_: *mut c_void, _: *const u8, _: usize) {}
    unsafe extern "C" fn nothing(_: *mut c_void) {}
    unsafe extern "C" fn no_timer(_: *mut c_void, _: u64) {}
    unsafe extern "C" fn no_trace(_: *mut c_void, _: u32, _: *const u64) {}
    unsafe extern "C" fn calls_back(opaque: *mut c_void) -> u64 {
        // SAFETY: the device passes the `opaque` of its host.
        let machine = unsafe { machine(opaque) };
        let device = machine.device.get();
        if !device.is_null() {
            // SAFETY: `with_device` stored the device, and removes it before freeing it.
            let seen = unsafe { ferrite_device_reg_read(device, 0, MAGIC, 4) };
            machine.seen.set(Some(seen));
        }
        0
    }
    unsafe extern "C" fn take(opaque: *mut c_void, state: *const u8, len: usize) {
        // SAFETY: the test passes the machine as `opaque`, and `state` has `len` bytes.
        let (machine, state) = unsafe { (machine(opaque), bytes(state, len)) };
        machine.saved.set(state.to_vec());
    }

    const MAGIC: u64 = 0;
    const SCRATCH: u64 = 0x28;

    /// Makes a device, or returns why that cannot be done.
    fn with_device<R>(
        num_queues: u16,
        test: impl FnOnce(*const FerriteDevice, &Machine) -> R,
    ) -> Result<R, String> {
        let machine = Machine {
            device: Cell::new(null()),
            seen: Cell::new(None),
            saved: Cell::default(),
        };
        let host = FerriteHost {
            opaque: (&raw const machine).cast_mut().cast(),
            dma_read: no_read,
            dma_write: no_write,
            dma_load32: no_load,
            dma_store32: no_store,
            raise: no_raise,
            is_pending: not_pending,
            set_vectors: no_raise,
            report_error: no_report,
            uplink_send: no_send,
            uplink_ready: nothing,
            now: calls_back,
            set_timer: no_timer,
            cancel_timer: nothing,
            schedule: nothing,
            trace: no_trace,
        };
        let config = FerriteConfig {
            mac: [2, 0, 0, 0, 0, 1],
            num_queues,
            max_vfs: 4,
            max_sfs: 4,
            pf_vectors: 8,
            vf_vectors: 8,
            vf_controls: false,
            faults: true,
            fault_script: null(),
            serial: null(),
            uuid: [0; 16],
        };
        let mut reason = [0u8; 64];
        // SAFETY: all pointers are to locals, `reason` has the size given, there are no strings,
        // and the callbacks keep to their documentation.
        let device =
            unsafe { ferrite_device_new(&config, &host, reason.as_mut_ptr().cast(), reason.len()) };
        if device.is_null() {
            let end = reason.iter().position(|byte| *byte == 0).unwrap();
            return Err(String::from_utf8_lossy(&reason[..end]).into_owned());
        }
        let result = test(device, &machine);
        machine.device.set(null());
        // SAFETY: `device` came from `ferrite_device_new` and is not used any more.
        unsafe { ferrite_device_free(device) };
        Ok(result)
    }

    /// Reads a register.
    fn read(device: *const FerriteDevice, offset: u64) -> u64 {
        // SAFETY: tests pass the device of `with_device`, within its call.
        unsafe { ferrite_device_reg_read(device, 0, offset, 4) }
    }

    /// Writes a register.
    fn write(device: *const FerriteDevice, offset: u64, value: u64) {
        // SAFETY: tests pass the device of `with_device`, within its call.
        unsafe { ferrite_device_reg_write(device, 0, offset, 4, value) }
    }

    /// Loads a state; returns whether that could be done.
    fn load(device: *const FerriteDevice, state: &[u8]) -> bool {
        let mut reason = [0u8; 64];
        // SAFETY: the device is that of `with_device`; `state` and `reason` have the sizes given.
        unsafe {
            ferrite_device_load(
                device,
                state.as_ptr(),
                state.len(),
                reason.as_mut_ptr().cast(),
                reason.len(),
            )
        }
    }

    #[test]
    fn call_from_a_callback_is_refused() {
        with_device(8, |device, machine| {
            machine.device.set(device);
            assert_eq!(read(device, MAGIC), 0x5252_4546);
            assert_eq!(machine.seen.get(), Some(u64::MAX));
        })
        .unwrap();
    }

    #[test]
    fn bad_set_up_is_refused_with_the_reason() {
        assert_eq!(
            with_device(0, |_, _| ()).unwrap_err(),
            "num_queues is 0, must be 1 to 64"
        );
    }

    #[test]
    fn saved_state_is_loaded_and_a_bad_one_changes_nothing() {
        with_device(8, |device, machine| {
            write(device, SCRATCH, 1);
            let opaque = (&raw const *machine).cast_mut().cast();
            // SAFETY: the device is that of `with_device`; `take` expects the machine.
            assert!(unsafe { ferrite_device_save(device, take, opaque) });
            let state = machine.saved.take();
            write(device, SCRATCH, 2);
            assert!(!load(device, &state[1..]));
            assert!(!load(device, &[]));
            assert_eq!(read(device, SCRATCH), 2);
            assert!(load(device, &state));
            assert_eq!(read(device, SCRATCH), 1);
        })
        .unwrap();
    }

    #[test]
    fn fault_script_is_taken_and_a_bad_one_refused_with_the_reason() {
        with_device(8, |device, _| {
            let set = |script: &std::ffi::CStr| {
                let mut reason = [0u8; 128];
                // SAFETY: the device is that of `with_device`, the script ends with a NUL, `reason`
                // has the size given.
                let taken = unsafe {
                    ferrite_device_set_fault_script(
                        device,
                        script.as_ptr(),
                        reason.as_mut_ptr().cast(),
                        reason.len(),
                    )
                };
                let end = reason.iter().position(|byte| *byte == 0).unwrap();
                (taken, String::from_utf8_lossy(&reason[..end]).into_owned())
            };
            assert!(set(c"corrupt_register:opcode=0x28:param=0xf0:count=1").0);
            assert_eq!(read(device, SCRATCH), 0xf0);
            assert_eq!(read(device, SCRATCH), 0);
            let (taken, reason) = set(c"hang:when=1");
            assert!(!taken);
            assert!(reason.contains("no key is called 'when'"), "{reason}");
        })
        .unwrap();
    }

    #[test]
    fn latch_outlives_its_device() {
        let latch = with_device(8, |device, _| {
            // SAFETY: the device is that of `with_device`.
            unsafe { crate::doorbell::ferrite_device_latch(device) }
        })
        .unwrap();
        // SAFETY: `latch` came from `ferrite_device_latch`; it is freed once, last.
        unsafe {
            assert!(!crate::doorbell::ferrite_latch_ring(latch, 0, 0, 0, 8));
            assert!(!crate::doorbell::ferrite_latch_ring(latch, 0, 4, 0, 2));
            assert!(crate::doorbell::ferrite_latch_ring(latch, 0, 0, 0, 2));
            assert!(!crate::doorbell::ferrite_latch_ring(latch, 0, 0, 0, 4));
            crate::doorbell::ferrite_latch_free(latch);
        }
    }
}
