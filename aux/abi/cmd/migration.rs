// SPDX-License-Identifier: GPL-2.0

//! Commands by which the PF moves a VF to another device: it is suspended, saved, loaded, resumed.
//! The VF that is meant is named in the submission and must have
//! [`FunctionCaps::MIGRATABLE`](super::FunctionCaps::MIGRATABLE); a VF may send none of these. What a
//! stream holds is in [`crate::mig`].

use super::command;
use crate::wire::*;

codes! {
    /// How far a function is suspended.
    pub struct SuspendLevel(u16) {
        /// Not at all.
        RUNNING = 0;
        /// It begins no DMA and raises no interrupt; it still answers accesses to its BARs.
        INITIATOR = 1;
        /// In addition its state does not change. Doorbells are remembered.
        FULL = 2;
    }
}

codes! {
    /// What a device can do for a function that is moved.
    pub struct MigrationCaps(u16) {
        /// Suspends initiators alone: [`SuspendLevel::INITIATOR`].
        P2P = 1 << 0;
        /// Saves while the function works: [`SavePass::SETUP`].
        PRE_COPY = 1 << 1;
        /// Logs what the function writes to memory.
        DIRTY_LOG = 1 << 2;
        /// The VF can be suspended and resumed by its own registers from
        /// [`VF_CONTROLS_OFFSET`](crate::bar::VF_CONTROLS_OFFSET) on as well.
        VF_CONTROLS = 1 << 3;
    }
}

codes! {
    /// What goes on about a function.
    pub struct MigrationActivity(u16) {
        /// It is being saved: [`BeginSave`].
        SAVING = 1 << 0;
        /// It is being loaded: [`BeginLoad`].
        LOADING = 1 << 1;
        /// Its writes are logged: [`StartDirtyLog`](super::StartDirtyLog).
        LOGGING = 1 << 2;
    }
}

/// Tells what the device can do to move a VF, and how far that is, in the data buffer.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryMigration {}
command!(QueryMigration = QUERY_MIGRATION, done (), from_device MigrationInfo, pf);

/// What [`QueryMigration`] writes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MigrationInfo {
    /// Identity of the function, which moves with it: an RFC 4122 UUID in network order.
    pub uuid: [u8; 16],
    /// Newest version of the stream that the device writes and reads.
    pub stream_version: U16,
    /// Oldest version of the stream that it writes and reads.
    pub oldest_version: U16,
    /// [`MigrationCaps`].
    pub caps: U16,
    /// [`SuspendLevel`] of the function.
    pub level: U16,
    /// [`MigrationActivity`].
    pub activity: U16,
    /// Largest number of ranges that can be logged.
    pub max_ranges: U16,
    /// Least logarithm of the page size of the log.
    pub min_page_shift: u8,
    /// Largest logarithm of the page size of the log.
    pub max_page_shift: u8,
    /// Reserved.
    pub rsvd: [u8; 2],
    /// Largest number of runs of pages that the log can hold.
    pub max_runs: U32,
    /// Bytes that saving the function now, from nothing, would take.
    pub state_size: U32,
    /// Reserved.
    pub rsvd2: [u8; 24],
}
layout!(MigrationInfo: 64 {
    uuid @ 0, stream_version @ 16, oldest_version @ 18, caps @ 20, level @ 22, activity @ 24,
    max_ranges @ 26, min_page_shift @ 28, max_page_shift @ 29, rsvd @ 30, max_runs @ 32,
    state_size @ 36, rsvd2 @ 40,
});

/// Suspends a VF further. What it had begun is over with the completion: DMA, interrupts that waited
/// for their time.
///
/// Nothing happens if it is suspended so far already. `BAD_STATE` if it is suspended further, or not
/// active; `INVALID_FIELD` for [`SuspendLevel::RUNNING`] and unknown levels.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SuspendFunction {
    /// [`SuspendLevel`]: `INITIATOR`, or `FULL`, which passes through `INITIATOR`.
    pub level: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(SuspendFunction: 4 { level @ 0 });
command!(SuspendFunction = SUSPEND_FUNCTION, done (), none [u8; 0], pf);

/// Takes back [`SuspendFunction`]. Doorbells that were rung meanwhile are seen to.
///
/// Nothing happens if it is suspended no further already than asked for. `BAD_STATE` while it is being
/// loaded, or saved with [`SavePass::FINAL`]; `INVALID_FIELD` for [`SuspendLevel::FULL`] and unknown
/// levels.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ResumeFunction {
    /// [`SuspendLevel`]: `INITIATOR` or `RUNNING`.
    pub level: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(ResumeFunction: 4 { level @ 0 });
command!(ResumeFunction = RESUME_FUNCTION, done (), none [u8; 0], pf);

codes! {
    /// What a pass of saving takes.
    pub struct SavePass(u16) {
        /// What a driver sets up, as far as it changed since the last pass; at any level.
        SETUP = 1;
        /// All that changed since the last pass, and the end of the stream; at level `FULL`.
        FINAL = 2;
    }
}

/// Makes the next part of a VF's stream, for [`ReadSave`]. The first begins with the header; all parts
/// in their order are the stream.
///
/// `BAD_STATE` if the part before was not read to its end, after [`SavePass::FINAL`], for
/// [`SavePass::FINAL`] unless the level is `FULL`, while it is being loaded, or if it is not active;
/// `INVALID_FIELD` for an unknown pass; `NOT_SUPPORTED` for a version that the device does not write.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BeginSave {
    /// [`SavePass`].
    pub pass: U16,
    /// Version of the stream, 0 for the newest; the same for all parts.
    pub version: U16,
}
layout!(BeginSave: 4 { pass @ 0, version @ 2 });
command!(BeginSave = BEGIN_SAVE, done BeginSaveDone, none [u8; 0], pf);

/// Answer to [`BeginSave`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BeginSaveDone {
    /// Length of the part in bytes. 0 if nothing changed.
    pub length: U32,
}
layout!(BeginSaveDone: 4 { length @ 0 });

/// Size of the data buffer of [`ReadSave`] and [`WriteLoad`] in bytes, at most.
pub const MAX_CHUNK: usize = 4096;

/// Data buffer of [`ReadSave`] and [`WriteLoad`]: a piece of a stream.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StreamChunk {
    /// The piece; only the first `length` bytes have a meaning.
    pub bytes: [u8; MAX_CHUNK],
}
layout!(StreamChunk: 4096 { bytes @ 0 });

/// Copies a piece of the part that [`BeginSave`] made to the data buffer. It can be read again.
///
/// `BAD_STATE` if there is no part; `INVALID_FIELD` if `length` is 0, larger than [`MAX_CHUNK`], or the
/// piece begins behind what was read or ends behind the part.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReadSave {
    /// Where in the part the piece begins.
    pub offset: U32,
    /// Length of the piece in bytes.
    pub length: U32,
}
layout!(ReadSave: 8 { offset @ 0, length @ 4 });
command!(ReadSave = READ_SAVE, done (), from_device StreamChunk, pf);

codes! {
    /// What [`QuerySave`] says beside sizes.
    pub struct SaveFlags(u16) {
        /// Since the last pass, queues were made anew or the function was reset: what is dirty is as
        /// good as new initial data.
        REINIT = 1 << 0;
        /// The part that was made last ends the stream.
        FINAL = 1 << 1;
    }
}

/// Tells how much there is to save. Answers at any time.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QuerySave {}
command!(QuerySave = QUERY_SAVE, done QuerySaveDone, none [u8; 0], pf);

/// Answer to [`QuerySave`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QuerySaveDone {
    /// Bytes of the part that was made last which were not read yet.
    pub unread: U32,
    /// Bytes that another [`SavePass::SETUP`] would have now: what changed since the last pass.
    pub dirty: U32,
    /// Bytes that [`SavePass::FINAL`] would have now.
    pub remaining: U32,
    /// Bytes that the whole stream would have, begun now with [`SavePass::FINAL`].
    pub full: U32,
    /// [`SaveFlags`].
    pub flags: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
}
layout!(QuerySaveDone: 20 { unread @ 0, dirty @ 4, remaining @ 8, full @ 12, flags @ 16 });

/// Ends saving, complete or not. Nothing happens if the function is not being saved.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EndSave {}
command!(EndSave = END_SAVE, done (), none [u8; 0], pf);

/// Begins to take a stream; one that was begun before is forgotten.
///
/// `BAD_STATE` unless the level is `FULL`, or while the function is being saved.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BeginLoad {}
command!(BeginLoad = BEGIN_LOAD, done (), none [u8; 0], pf);

/// Hands the device the next piece of a stream. What is complete of it is checked at once, the header
/// among it, so that what does not fit is refused early: the answer has the reason. A refusal is
/// final for this stream, and repeated for every piece that follows.
///
/// The same piece may be sent again, as when its completion was lost: it is taken once.
///
/// `BAD_STATE` unless [`BeginLoad`] came before; `INVALID_FIELD` if `length` is 0 or larger than
/// [`MAX_CHUNK`], or the piece neither follows what was taken nor is the last that was.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WriteLoad {
    /// Where in the stream the piece begins.
    pub offset: U64,
    /// Length of the piece in bytes.
    pub length: U32,
    /// Reserved.
    pub rsvd: [u8; 4],
}
layout!(WriteLoad: 16 { offset @ 0, length @ 8, rsvd @ 12 });
command!(WriteLoad = WRITE_LOAD, done LoadVerdict, to_device StreamChunk, pf);

/// Answer to [`WriteLoad`] and [`EndLoad`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LoadVerdict {
    /// [`StreamFault`](crate::mig::StreamFault): why the stream is refused, `NONE` while it is not.
    pub fault: U16,
    /// [`StreamTag`](crate::mig::StreamTag) of the record that is at fault, 0 if it is none alone.
    pub tag: U16,
    /// Number of that record in the stream, from 0.
    pub record: U32,
    /// Bytes of the stream that were taken.
    pub taken: U64,
}
layout!(LoadVerdict: 16 { fault @ 0, tag @ 2, record @ 4, taken @ 8 });

/// Ends loading. With `commit` the whole stream is checked and, if nothing is wrong with it, takes
/// the place of the function's state; the answer says which. The level stays `FULL`.
///
/// A function whose stream was refused is as it was before [`BeginLoad`]. `BAD_STATE` for `commit`
/// without [`BeginLoad`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EndLoad {
    /// 1 loads what was taken, 0 forgets it.
    pub commit: u8,
    /// Reserved.
    pub rsvd: [u8; 3],
}
layout!(EndLoad: 4 { commit @ 0 });
command!(EndLoad = END_LOAD, done LoadVerdict, none [u8; 0], pf);
