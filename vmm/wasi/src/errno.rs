//! From what the host says of a failed operation to what the guest is told.

use std::io;

use rustix::io::Errno as Host;

use crate::abi::Errno;

/// The number for `error`.
pub(crate) fn from_io(error: &io::Error) -> Errno {
    error.raw_os_error().and_then(|raw| from_host(Host::from_raw_os_error(raw))).unwrap_or_else(
        || match error.kind() {
            io::ErrorKind::NotFound => Errno::Noent,
            io::ErrorKind::PermissionDenied => Errno::Perm,
            io::ErrorKind::AlreadyExists => Errno::Exist,
            io::ErrorKind::InvalidInput => Errno::Inval,
            _ => Errno::Io,
        },
    )
}

fn from_host(error: Host) -> Option<Errno> {
    const TABLE: &[(Host, Errno)] = &[
        (Host::ACCESS, Errno::Acces),
        (Host::AGAIN, Errno::Again),
        (Host::ALREADY, Errno::Already),
        (Host::BADF, Errno::Badf),
        (Host::BUSY, Errno::Busy),
        (Host::DEADLK, Errno::Deadlk),
        (Host::DQUOT, Errno::Dquot),
        (Host::EXIST, Errno::Exist),
        (Host::FBIG, Errno::Fbig),
        (Host::ILSEQ, Errno::Ilseq),
        (Host::INPROGRESS, Errno::Inprogress),
        (Host::INTR, Errno::Intr),
        (Host::INVAL, Errno::Inval),
        (Host::IO, Errno::Io),
        (Host::ISDIR, Errno::Isdir),
        (Host::LOOP, Errno::Loop),
        (Host::MFILE, Errno::Mfile),
        (Host::MLINK, Errno::Mlink),
        (Host::MSGSIZE, Errno::Msgsize),
        (Host::NAMETOOLONG, Errno::Nametoolong),
        (Host::NFILE, Errno::Nfile),
        (Host::NODEV, Errno::Nodev),
        (Host::NOENT, Errno::Noent),
        (Host::NOLCK, Errno::Nolck),
        (Host::NOMEM, Errno::Nomem),
        (Host::NOSPC, Errno::Nospc),
        (Host::NOTDIR, Errno::Notdir),
        (Host::NOTEMPTY, Errno::Notempty),
        (Host::NOTSUP, Errno::Notsup),
        (Host::NOTTY, Errno::Notty),
        (Host::NXIO, Errno::Nxio),
        (Host::OVERFLOW, Errno::Overflow),
        (Host::PERM, Errno::Perm),
        (Host::PIPE, Errno::Pipe),
        (Host::ROFS, Errno::Rofs),
        (Host::SPIPE, Errno::Spipe),
        (Host::STALE, Errno::Stale),
        (Host::TXTBSY, Errno::Txtbsy),
        (Host::XDEV, Errno::Xdev),
    ];
    TABLE.iter().find(|(host, _)| *host == error).map(|&(_, errno)| errno)
}
