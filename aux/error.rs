// SPDX-License-Identifier: GPL-2.0

//! Why a command failed, in terms that a caller can act on.

use core::fmt;
use ferrite_abi::admin::Status;
use kernel::{
    bindings,
    prelude::*, //
};

/// Why an admin command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CmdError {
    /// The device refused it.
    Status(Status),
    /// The device did not answer in time. It may still carry the command out.
    Timeout,
    /// The device is gone, in reset, or no longer this driver's.
    Gone,
    /// There was no memory to send it.
    Memory,
}

impl fmt::Display for CmdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "refused with {status}"),
            Self::Timeout => f.write_str("no answer"),
            Self::Gone => f.write_str("device gone"),
            Self::Memory => f.write_str("out of memory"),
        }
    }
}

impl kernel::fmt::Display for CmdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The one conversion to errno, used at the edge of a subsystem.
impl From<CmdError> for Error {
    fn from(error: CmdError) -> Self {
        match error {
            CmdError::Timeout => ETIMEDOUT,
            CmdError::Gone => ENODEV,
            CmdError::Memory => ENOMEM,
            CmdError::Status(status) => match status {
                Status::UNKNOWN_OPCODE | Status::NOT_SUPPORTED => {
                    // CAST: errno values are small.
                    Error::from_errno(-(bindings::EOPNOTSUPP as i32))
                }
                Status::INVALID_FIELD => EINVAL,
                Status::INVALID_FUNCTION => ENOENT,
                Status::NOT_PERMITTED => EPERM,
                Status::NO_RESOURCE => ENOSPC,
                Status::BAD_STATE | Status::IN_USE => EBUSY,
                Status::DMA_FAULT => EFAULT,
                Status::SHORT_BUFFER => EMSGSIZE,
                _ => EIO,
            },
        }
    }
}

#[kunit_tests(ferrite_aux_error)]
mod tests {
    use super::*;

    #[test]
    fn every_status_but_ok_has_an_errno() {
        let errno = |error: CmdError| Error::from(error).to_errno();
        assert_eq!(errno(CmdError::Timeout), -110);
        assert_eq!(errno(CmdError::Gone), -19);
        assert_eq!(errno(CmdError::Memory), -12);
        assert_eq!(errno(CmdError::Status(Status::NOT_SUPPORTED)), -95);
        assert_eq!(errno(CmdError::Status(Status::INVALID_FIELD)), -22);
        assert_eq!(errno(CmdError::Status(Status::NO_RESOURCE)), -28);
        assert_eq!(errno(CmdError::Status(Status::INTERNAL)), -5);
        assert_eq!(errno(CmdError::Status(Status(0xffff))), -5);
    }
}
