// SPDX-License-Identifier: GPL-2.0

//! Files without a name, for what is a stream.
//!
//! C header: [`include/linux/anon_inodes.h`](srctree/include/linux/anon_inodes.h)

use crate::{
    bindings as own,
    optional::optional, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    fs::File,
    prelude::*,
    sync::{
        aref::ARef,
        poll::PollTable, //
    },
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceReader,
        UserSliceWriter, //
    }, //
};

/// What a file is ready for, as `poll` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready(u32);

impl Ready {
    /// Nothing.
    pub const NOT: Self = Self(0);
    /// Something can be read, or the end was reached.
    pub const TO_READ: Self = Self(0x001 | 0x040);
    /// Something can be written.
    pub const TO_WRITE: Self = Self(0x004 | 0x100);
    /// It failed: nothing can be read or written any more.
    pub const FAILED: Self = Self(Self::TO_READ.0 | Self::TO_WRITE.0 | 0x008 | 0x010);
}

/// What can be done with a file. One that can be read is opened for reading, and one that can be written for
/// writing.
#[vtable]
pub trait Operations: Sized + Send + Sync + 'static {
    /// The module that these functions are in.
    const OWNER: &'static ThisModule;

    /// Reads to user memory; returns how many bytes were read.
    fn read(&self, buffer: UserSliceWriter) -> Result<usize> {
        let _ = buffer;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Writes from user memory; returns how many bytes were written.
    fn write(&self, buffer: UserSliceReader) -> Result<usize> {
        let _ = buffer;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Returns what the file is ready for, and registers those who wait. May sleep.
    fn poll(&self, file: &File, table: &PollTable<'_>) -> Ready {
        let _ = (file, table);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Does what the system call of the same name asks for.
    fn ioctl(&self, cmd: u32, arg: usize) -> Result<isize> {
        let _ = (cmd, arg);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// Opens a file, as which `data` is known to user space. It is dropped when nobody has the file open any more.
///
/// # Errors
///
/// `ENOMEM`, `ENFILE` if too many files are open.
pub fn open<T: Operations>(name: &'static CStr, data: KBox<T>) -> Result<ARef<File>> {
    let access = match (T::HAS_READ, T::HAS_WRITE) {
        (true, true) => bindings::O_RDWR,
        (false, true) => bindings::O_WRONLY,
        _ => bindings::O_RDONLY,
    };
    let data = KBox::into_raw(data);
    // SAFETY: the table lives as long as the module that it names as its owner, which the file keeps. `release`
    // takes the data.
    //
    // CAST: both types are bound from the same C type; flags are small.
    let file = from_err_ptr(unsafe {
        let table = core::ptr::from_ref(Table::<T>::FILE_REF).cast();
        own::anon_inode_getfile(name.as_char_ptr(), table, data.cast(), access as c_int)
    });
    let file: *mut bindings::file = match file {
        Ok(file) => file.cast(),
        Err(error) => {
            // SAFETY: it came from a box, and nobody else has it.
            drop(unsafe { KBox::from_raw(data) });
            return Err(error);
        }
    };
    // SAFETY: the file was just opened, and nobody else has it. There is no position in a stream.
    unsafe { bindings::stream_open((*file).f_inode, file) };
    // SAFETY: it is not null and comes with a reference; nobody asks for its position.
    Ok(unsafe { ARef::from_raw(NonNull::new_unchecked(file.cast())) })
}

/// The C table of a file of a `T`. All functions in it are called with such files.
struct Table<T>(PhantomData<T>);

fn answer(result: Result<usize>) -> isize {
    match result {
        // CAST: no buffer is as large as half of the address space.
        Ok(bytes) => bytes as isize,
        Err(error) => error.to_errno() as isize,
    }
}

impl<T: Operations> Table<T> {
    const FILE: bindings::file_operations = bindings::file_operations {
        owner: T::OWNER.as_ptr(),
        read: optional!(HAS_READ, read),
        write: optional!(HAS_WRITE, write),
        poll: optional!(HAS_POLL, poll),
        unlocked_ioctl: optional!(HAS_IOCTL, ioctl),
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: if T::HAS_IOCTL {
            Some(bindings::compat_ptr_ioctl)
        } else {
            None
        },
        release: Some(Self::release),
        ..pin_init::zeroed()
    };
    const FILE_REF: &'static bindings::file_operations = &Self::FILE;

    /// # Safety
    ///
    /// `file` is one of a `T`, and open for `'a`.
    unsafe fn data<'a>(file: *mut bindings::file) -> &'a T {
        // SAFETY: by the requirements of this function, `open` put it there, and `release` was not called.
        unsafe { &*(*file).private_data.cast() }
    }

    unsafe extern "C" fn read(
        file: *mut bindings::file,
        buffer: *mut c_char,
        len: usize,
        _: *mut bindings::loff_t,
    ) -> isize {
        let slice = UserSlice::new(UserPtr::from_ptr(buffer.cast()), len);
        // SAFETY: the file is one of a `T`, and open.
        answer(unsafe { Self::data(file) }.read(slice.writer()))
    }

    unsafe extern "C" fn write(
        file: *mut bindings::file,
        buffer: *const c_char,
        len: usize,
        _: *mut bindings::loff_t,
    ) -> isize {
        let slice = UserSlice::new(UserPtr::from_ptr(buffer.cast_mut().cast()), len);
        // SAFETY: the file is one of a `T`, and open.
        answer(unsafe { Self::data(file) }.write(slice.reader()))
    }

    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table_struct,
    ) -> bindings::__poll_t {
        // SAFETY: the table is null or valid until this returns.
        let table = unsafe { PollTable::from_raw(table) };
        // SAFETY: the file is open, and has no position.
        let shared = unsafe { File::from_raw_file(file) };
        // SAFETY: the file is one of a `T`, and open.
        unsafe { Self::data(file) }.poll(shared, &table).0
    }

    unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: the file is one of a `T`, and open.
        match unsafe { Self::data(file) }.ioctl(cmd, arg) {
            Ok(value) => value,
            Err(error) => error.to_errno() as c_long,
        }
    }

    unsafe extern "C" fn release(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `open` put a box there, and nobody has the file open any more.
        drop(unsafe { KBox::from_raw((*file).private_data.cast::<T>()) });
        0
    }
}
