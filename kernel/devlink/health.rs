// SPDX-License-Identifier: GPL-2.0

//! Health reporters of an instance: what went wrong, what there is to see of it, and how it is mended.

use super::{
    lock::{
        Memory,
        Operation, //
    },
    ExtAck,
    Keep,
    Locked,
    Port, //
};
use crate::{
    bindings,
    optional::optional, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_err_ptr,
        from_result,
        to_result, //
    },
    fmt,
    prelude::*,
    str::CString,
    sync::Arc,
    time::Msecs, //
};

/// What a driver does for a health reporter.
///
/// All operations are called in process context, with the lock of the instance held. They say in `extack` why they
/// fail; the user may not have asked for it.
#[vtable]
pub trait Reporter: Send + Sync + 'static {
    /// What users call the reporter.
    const NAME: &'static CStr;

    /// After one recovery, the next error is not recovered by itself for so long. Zero without `recover`.
    const GRACE: Msecs = 0;

    /// For so long after that recovery, further errors are recovered all the same; only then the grace period begins. Zero
    /// without a grace period.
    const BURST: Msecs = 0;

    /// Mends what was reported. devlink takes the reporter for healthy when that succeeds.
    fn recover(&self, locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let _ = (locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Writes down all that helps to find out what happened. devlink keeps it until the user clears it.
    fn dump(
        &self,
        message: &mut Message<'_>,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (message, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells how things are now.
    fn diagnose(
        &self,
        message: &mut Message<'_>,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (message, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Has the device do what the reporter reports. The report comes when the driver has noticed.
    fn test(&self, locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let _ = (locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// A dump or diagnosis that is being written. What has no room is missing, and devlink tells the user so.
///
/// # Invariants
///
/// The pointer is valid for `'a`, and an object is open in the message.
pub struct Message<'a>(*mut bindings::devlink_fmsg, PhantomData<&'a mut ()>);

impl Message<'_> {
    /// Adds a text.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn text(&mut self, name: &CStr, value: fmt::Arguments<'_>) -> Result {
        let value = CString::try_from_fmt(value)?;
        // SAFETY: by the invariants of this type; the strings are copied.
        unsafe {
            bindings::devlink_fmsg_string_pair_put(self.0, name.as_char_ptr(), value.as_char_ptr())
        };
        Ok(())
    }

    /// Adds a number.
    pub fn number(&mut self, name: &CStr, value: u64) {
        // SAFETY: by the invariants of this type; the name is copied.
        unsafe { bindings::devlink_fmsg_u64_pair_put(self.0, name.as_char_ptr(), value) };
    }

    /// Adds what is true or false.
    pub fn flag(&mut self, name: &CStr, value: bool) {
        // SAFETY: by the invariants of this type; the name is copied.
        unsafe { bindings::devlink_fmsg_bool_pair_put(self.0, name.as_char_ptr(), value) };
    }

    /// Adds bytes as they are.
    pub fn bytes(&mut self, name: &CStr, bytes: &[u8]) {
        // CAST: dumps are far smaller.
        let len = bytes.len() as u32;
        // SAFETY: by the invariants of this type; name and bytes are copied.
        unsafe {
            bindings::devlink_fmsg_binary_pair_put(
                self.0,
                name.as_char_ptr(),
                bytes.as_ptr().cast(),
                len,
            )
        };
    }

    /// Adds an object with parts of its own, which `fill` adds.
    ///
    /// # Errors
    ///
    /// What `fill` fails with.
    pub fn object(&mut self, name: &CStr, fill: impl FnOnce(&mut Message<'_>) -> Result) -> Result {
        // SAFETY: by the invariants of this type; the name is copied.
        unsafe {
            bindings::devlink_fmsg_pair_nest_start(self.0, name.as_char_ptr());
            bindings::devlink_fmsg_obj_nest_start(self.0);
        }
        // INVARIANT: the pointer is valid for as long as `self` is borrowed, and an object was just opened.
        let filled = fill(&mut Message(self.0, PhantomData));
        // SAFETY: by the invariants of this type; both were started above.
        unsafe {
            bindings::devlink_fmsg_obj_nest_end(self.0);
            bindings::devlink_fmsg_pair_nest_end(self.0);
        }
        filled
    }

    /// Adds a list of objects, one for each of `items`, whose parts `fill` adds.
    ///
    /// # Errors
    ///
    /// The first that `fill` fails with.
    pub fn list<T>(
        &mut self,
        name: &CStr,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Message<'_>, T) -> Result,
    ) -> Result {
        // SAFETY: by the invariants of this type; the name is copied.
        unsafe { bindings::devlink_fmsg_arr_pair_nest_start(self.0, name.as_char_ptr()) };
        let filled = items.into_iter().try_for_each(|item| {
            // SAFETY: by the invariants of this type; a list is open.
            unsafe { bindings::devlink_fmsg_obj_nest_start(self.0) };
            // INVARIANT: the pointer is valid for as long as `self` is borrowed, and an object was just opened.
            let filled = fill(&mut Message(self.0, PhantomData), item);
            // SAFETY: by the invariants of this type; it was started above.
            unsafe { bindings::devlink_fmsg_obj_nest_end(self.0) };
            filled
        });
        // SAFETY: by the invariants of this type; it was started above.
        unsafe { bindings::devlink_fmsg_arr_pair_nest_end(self.0) };
        filled
    }
}

/// What the operations of a reporter are called with.
struct Private<R> {
    data: Arc<R>,
    memory: Arc<Memory>,
}

/// An instance has this reporter for as long as this lives.
///
/// # Invariants
///
/// `reporter` is registered, and its private pointer is to the `Private` in `_private`, of the type that its table is for. It
/// is one of `_port`, if there is one, and else of the instance.
pub struct HealthReporter {
    reporter: NonNull<bindings::devlink_health_reporter>,
    memory: Arc<Memory>,
    // Its memory holds the list that the reporter is in.
    _port: Option<Arc<Port>>,
    _private: KBox<dyn Keep>,
}

// SAFETY: a reporter does not belong to a thread, and what it is called with is `Send` and `Sync`.
unsafe impl Send for HealthReporter {}

// SAFETY: the functions on a reporter that are used here lock the instance, or are for one thread at a time to call, which
// `report` and `healthy` say.
unsafe impl Sync for HealthReporter {}

impl Locked<'_> {
    /// Adds a health reporter to the instance.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it has one of this name, `ENOMEM`.
    pub fn add_reporter<R: Reporter>(&self, data: Arc<R>) -> Result<HealthReporter> {
        self.add_reporter_of(None, data)
    }

    /// Adds a health reporter to a port of the instance. It is to be dropped before the port is removed.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the port is not in the instance, `EEXIST` if it has a reporter of this name, `ENOMEM`.
    pub fn add_port_reporter<R: Reporter>(
        &self,
        port: &Arc<Port>,
        data: Arc<R>,
    ) -> Result<HealthReporter> {
        if !port.is_in(self) {
            return Err(ENODEV);
        }
        self.add_reporter_of(Some(port.clone()), data)
    }

    /// As [`Self::add_port_reporter`], if there is a port; it is in the instance.
    fn add_reporter_of<R: Reporter>(
        &self,
        port: Option<Arc<Port>>,
        data: Arc<R>,
    ) -> Result<HealthReporter> {
        const {
            assert!(
                R::GRACE == 0 || R::HAS_RECOVER,
                "only recovery has a grace period"
            );
            assert!(
                R::BURST == 0 || R::GRACE != 0,
                "a burst is followed by a grace period"
            );
        };
        let private = KBox::new(
            Private {
                data,
                memory: self.keep(),
            },
            GFP_KERNEL,
        )?;
        let pointer = core::ptr::from_ref(&*private).cast_mut().cast();
        let ops = Table::<R>::OPS_REF;
        // SAFETY: the lock is held; the table lives for ever, and its operations are for a `Private<R>`, which is where it
        // is until the drop of `HealthReporter` has removed the reporter. The port is in the instance, as the caller says.
        let reporter = from_err_ptr(unsafe {
            match &port {
                Some(port) => {
                    bindings::devl_port_health_reporter_create(port.as_raw(), ops, pointer)
                }
                None => bindings::devl_health_reporter_create(self.as_raw(), ops, pointer),
            }
        })?;
        // INVARIANT: it was just registered with that pointer.
        Ok(HealthReporter {
            reporter: NonNull::new(reporter).ok_or(ENOMEM)?,
            memory: self.keep(),
            _port: port,
            _private: private,
        })
    }
}

impl HealthReporter {
    /// Reports an error. What there is to see is dumped, and the error mended, unless the user said otherwise, an earlier
    /// error was not mended, or the last recovery is too recent.
    ///
    /// The instance must be registered. For one thread at a time.
    ///
    /// # Errors
    ///
    /// `EDEADLK` if this thread holds the lock of the instance, `ECANCELED` if nothing was done for the last two of
    /// the reasons above, or what the recovery failed with.
    pub fn report(&self, error: fmt::Arguments<'_>) -> Result {
        if self.memory.is_locked_here() {
            // CAST: errno values are small.
            return Err(Error::from_errno(-(kernel::bindings::EDEADLK as c_int)));
        }
        let text = CString::try_from_fmt(error)?;
        // SAFETY: by the invariants of this type; this thread does not hold the lock. Without context the operations are
        // called as users have them called.
        to_result(unsafe {
            bindings::devlink_health_report(
                self.reporter.as_ptr(),
                text.as_char_ptr(),
                core::ptr::null_mut(),
            )
        })
    }

    /// Says that what was reported is over. The instance must be registered. For one thread at a time.
    pub fn healthy(&self) {
        // SAFETY: by the invariants of this type; it is one of the two states that there are.
        unsafe {
            bindings::devlink_health_reporter_state_update(
                self.reporter.as_ptr(),
                bindings::devlink_health_reporter_state_DEVLINK_HEALTH_REPORTER_STATE_HEALTHY,
            )
        };
    }
}

impl Drop for HealthReporter {
    fn drop(&mut self) {
        let _locked = self.memory.lock();
        // SAFETY: by the invariants of this type; the lock is held, so that no operation runs.
        unsafe { bindings::devl_health_reporter_destroy(self.reporter.as_ptr()) };
    }
}

/// The C table of the operations of an `R`.
///
/// All functions here are called by devlink only, with the lock held, for a reporter whose private pointer is to a
/// `Private<R>`. Other arguments are valid until the functions return, an object is open in the message, and `extack` may be
/// null.
struct Table<R>(PhantomData<R>);

// The name that `optional` knows for what implements the operations.
#[expect(
    clippy::missing_safety_doc,
    reason = "what holds for all of them is said at `Table`"
)]
impl<T: Reporter> Table<T> {
    const OPS: bindings::devlink_health_reporter_ops = bindings::devlink_health_reporter_ops {
        name: T::NAME.as_ptr().cast_mut().cast(),
        recover: optional!(HAS_RECOVER, recover),
        dump: optional!(HAS_DUMP, dump),
        diagnose: optional!(HAS_DIAGNOSE, diagnose),
        test: optional!(HAS_TEST, test),
        // CAST: periods are short.
        default_graceful_period: T::GRACE as u64,
        // CAST: as above.
        default_burst_period: T::BURST as u64,
    };
    const OPS_REF: &'static bindings::devlink_health_reporter_ops = &Self::OPS;

    /// Returns the data of a reporter, and the operation that is called.
    unsafe fn begin(reporter: *mut bindings::devlink_health_reporter) -> (Arc<T>, Operation) {
        // SAFETY: the private pointer is to a `Private<T>`, which nobody writes.
        let private = unsafe {
            &*bindings::devlink_health_reporter_priv(reporter)
                .cast::<Private<T>>()
                .cast_const()
        };
        // SAFETY: devlink holds the lock until the caller returns.
        let operation = unsafe { Operation::begin(private.memory.clone()) };
        (private.data.clone(), operation)
    }

    unsafe extern "C" fn recover(
        reporter: *mut bindings::devlink_health_reporter,
        _context: *mut c_void,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let ((data, operation), mut extack) =
            unsafe { (Self::begin(reporter), ExtAck::from_raw(extack)) };
        from_result(|| {
            data.recover(&operation.locked(), &mut extack)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn dump(
        reporter: *mut bindings::devlink_health_reporter,
        fmsg: *mut bindings::devlink_fmsg,
        _context: *mut c_void,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let ((data, operation), mut extack) =
            unsafe { (Self::begin(reporter), ExtAck::from_raw(extack)) };
        // INVARIANT: as all arguments here are.
        let mut message = Message(fmsg, PhantomData);
        from_result(|| {
            data.dump(&mut message, &operation.locked(), &mut extack)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn diagnose(
        reporter: *mut bindings::devlink_health_reporter,
        fmsg: *mut bindings::devlink_fmsg,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let ((data, operation), mut extack) =
            unsafe { (Self::begin(reporter), ExtAck::from_raw(extack)) };
        // INVARIANT: as all arguments here are.
        let mut message = Message(fmsg, PhantomData);
        from_result(|| {
            data.diagnose(&mut message, &operation.locked(), &mut extack)?;
            Ok(0)
        })
    }

    unsafe extern "C" fn test(
        reporter: *mut bindings::devlink_health_reporter,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let ((data, operation), mut extack) =
            unsafe { (Self::begin(reporter), ExtAck::from_raw(extack)) };
        from_result(|| {
            data.test(&operation.locked(), &mut extack)?;
            Ok(0)
        })
    }
}

#[kunit_tests(ferrite_devlink_health)]
mod tests {
    use super::*;
    use crate::{
        devlink::{
            Flavour,
            Instance,
            Ops, //
        },
        testing::TestDevice, //
    };
    use kernel::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    struct Card;

    #[vtable]
    impl Ops for Card {}

    /// Counts what it is called for.
    struct Heart {
        dumps: Atomic<usize>,
        recoveries: Atomic<usize>,
        beyond_help: Atomic<bool>,
    }

    #[vtable]
    impl Reporter for Heart {
        const NAME: &'static CStr = c"heart";
        const GRACE: Msecs = 60_000;

        fn recover(&self, locked: &Locked<'_>, _extack: &mut ExtAck<'_>) -> Result {
            assert!(locked.keep().is_locked_here());
            if self.beyond_help.load(Relaxed) {
                return Err(EIO);
            }
            self.recoveries.fetch_add(1, Relaxed);
            Ok(())
        }

        fn dump(
            &self,
            message: &mut Message<'_>,
            _locked: &Locked<'_>,
            _extack: &mut ExtAck<'_>,
        ) -> Result {
            self.dumps.fetch_add(1, Relaxed);
            message.number(c"beats", 60);
            message.list(c"valves", 0..4, |valve, number| {
                valve.flag(c"open", number % 2 == 0);
                valve.object(c"wall", |wall| wall.text(c"colour", fmt!("red {number}")))
            })
        }
    }

    fn heart() -> Result<Arc<Heart>> {
        let heart = Heart {
            dumps: Atomic::new(0),
            recoveries: Atomic::new(0),
            beyond_help: Atomic::new(false),
        };
        Ok(Arc::new(heart, GFP_KERNEL)?)
    }

    #[test]
    fn a_name_is_taken_for_as_long_as_its_reporter_lives() -> Result {
        let device = TestDevice::new(c"ferrite-health")?;
        let instance = Instance::new(device.device(), Arc::new(Card, GFP_KERNEL)?)?;
        let locked = instance.lock();
        let reporter = locked.add_reporter(heart()?)?;
        assert_eq!(locked.add_reporter(heart()?).err(), Some(EEXIST));
        drop(reporter);
        locked.add_reporter(heart()?)?;
        Ok(())
    }

    #[test]
    fn an_error_is_dumped_and_recovered_once_in_the_grace_period() -> Result {
        let device = TestDevice::new(c"ferrite-health")?;
        let instance = Instance::new(device.device(), Arc::new(Card, GFP_KERNEL)?)?;
        let heart = heart()?;
        let reporter = instance.lock().add_reporter(heart.clone())?;
        let visible = instance.register()?;
        reporter.report(fmt!("a beat was missed"))?;
        assert_eq!(heart.dumps.load(Relaxed), 1);
        assert_eq!(heart.recoveries.load(Relaxed), 1);
        // CAST: errno values are small.
        let canceled = -(kernel::bindings::ECANCELED as c_int);
        let again = reporter.report(fmt!("one more"));
        assert_eq!(again.map_err(Error::to_errno), Err(canceled));
        assert_eq!(heart.recoveries.load(Relaxed), 1);
        reporter.healthy();
        drop(visible);
        Ok(())
    }

    /// As [`Heart`], of which several may miss beats at once.
    struct Lung(Atomic<usize>);

    #[vtable]
    impl Reporter for Lung {
        const NAME: &'static CStr = c"lung";
        const GRACE: Msecs = 60_000;
        const BURST: Msecs = 60_000;

        fn recover(&self, _locked: &Locked<'_>, _extack: &mut ExtAck<'_>) -> Result {
            self.0.fetch_add(1, Relaxed);
            Ok(())
        }

        fn diagnose(
            &self,
            message: &mut Message<'_>,
            _locked: &Locked<'_>,
            _extack: &mut ExtAck<'_>,
        ) -> Result {
            message.bytes(c"air", &[1, 2, 3]);
            Ok(())
        }
    }

    #[test]
    fn errors_of_a_burst_are_all_recovered() -> Result {
        let device = TestDevice::new(c"ferrite-health")?;
        let instance = Instance::new(device.device(), Arc::new(Card, GFP_KERNEL)?)?;
        let lung = Arc::new(Lung(Atomic::new(0)), GFP_KERNEL)?;
        let reporter = instance.lock().add_reporter(lung.clone())?;
        let visible = instance.register()?;
        for _ in 0..3 {
            reporter.report(fmt!("no air"))?;
        }
        assert_eq!(lung.0.load(Relaxed), 3);
        drop(visible);
        Ok(())
    }

    #[test]
    fn each_port_has_reporters_of_its_own() -> Result {
        let device = TestDevice::new(c"ferrite-health")?;
        let instance = Instance::new(device.device(), Arc::new(Card, GFP_KERNEL)?)?;
        let locked = instance.lock();
        let (left, right) = (
            locked.add_port(0, Flavour::Virtual)?,
            locked.add_port(1, Flavour::Virtual)?,
        );
        let reporters = [
            locked.add_port_reporter(left.port(), heart()?)?,
            locked.add_port_reporter(right.port(), heart()?)?,
            locked.add_reporter(heart()?)?,
        ];
        let again = locked.add_port_reporter(left.port(), heart()?);
        assert_eq!(again.err(), Some(EEXIST));
        drop(reporters);
        let port = left.port().clone();
        drop(left);
        assert_eq!(
            locked.add_port_reporter(&port, heart()?).err(),
            Some(ENODEV)
        );
        Ok(())
    }

    #[test]
    fn a_recovery_that_fails_says_so() -> Result {
        let device = TestDevice::new(c"ferrite-health")?;
        let instance = Instance::new(device.device(), Arc::new(Card, GFP_KERNEL)?)?;
        let heart = heart()?;
        let reporter = instance.lock().add_reporter(heart.clone())?;
        let visible = instance.register()?;
        heart.beyond_help.store(true, Relaxed);
        assert_eq!(reporter.report(fmt!("a beat was missed")), Err(EIO));
        drop(visible);
        Ok(())
    }

    #[test]
    fn nobody_reports_with_the_lock_held() -> Result {
        let device = TestDevice::new(c"ferrite-health")?;
        let instance = Instance::new(device.device(), Arc::new(Card, GFP_KERNEL)?)?;
        let locked = instance.lock();
        let reporter = locked.add_reporter(heart()?)?;
        assert!(reporter.report(fmt!("a beat was missed")).is_err());
        Ok(())
    }
}
