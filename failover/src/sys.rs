//! The only unsafe code of this room.
#![allow(unsafe_code, reason = "what the standard library has no words for")]

use std::io;
use std::mem::MaybeUninit;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use socket2::{SockAddr, Socket};

/// The lowest real-time priority: above everything ordinary, below the kernel's own threads.
const REAL_TIME: i32 = 1;

/// Where frames leave, or come from: an interface, by its number, and Ethernet's number of what is in them.
pub(crate) fn link_address(index: u32, protocol: u16) -> io::Result<SockAddr> {
    let index = i32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `try_init` hands out zeroed storage large enough for every address; the fields written
    // are those of a `sockaddr_ll`, and the length says so.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let link = storage.cast::<libc::sockaddr_ll>();
            (*link).sll_family = libc::AF_PACKET as u16;
            (*link).sll_protocol = protocol.to_be();
            (*link).sll_ifindex = index;
            (*link).sll_halen = 6;
            *length = size_of::<libc::sockaddr_ll>() as u32;
            Ok(())
        })
    }?;
    Ok(address)
}

/// The network card that a frame came from, as the kernel tells with it.
pub(crate) fn hardware_address(from: &SockAddr) -> Option<[u8; 6]> {
    let whole = from.len() as usize >= size_of::<libc::sockaddr_ll>();
    if !whole || i32::from(from.family()) != libc::AF_PACKET {
        return None;
    }
    // SAFETY: family and length say that it is a whole `sockaddr_ll`, which holds for any bytes.
    let link = unsafe { from.as_ptr().cast::<libc::sockaddr_ll>().read_unaligned() };
    (link.sll_halen == 6).then(|| link.sll_addr.first_chunk().copied()).flatten()
}

/// The bytes a receive call has written.
pub(crate) fn initialized(buffer: &[MaybeUninit<u8>], length: usize) -> &[u8] {
    let filled = &buffer[..length.min(buffer.len())];
    // SAFETY: the kernel has written `length` bytes from the beginning, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts(filled.as_ptr().cast(), filled.len()) }
}

/// What the kernel says of a packet whose header it keeps.
pub(crate) struct About {
    pub(crate) length: usize,
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Option<Ipv6Addr>,
    pub(crate) hop_limit: Option<u8>,
}

/// Has the kernel tell with each packet where it was sent to and its hop limit (RFC 3542 4).
pub(crate) fn tell_of_packets(socket: &Socket) -> io::Result<()> {
    for option in [libc::IPV6_RECVPKTINFO, libc::IPV6_RECVHOPLIMIT] {
        let on: libc::c_int = 1;
        // SAFETY: the value outlives the call, and its size is said.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_IPV6,
                option,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Hears messages of this type only (RFC 3542 3.2).
pub(crate) fn only_icmpv6(socket: &Socket, message: u8) -> io::Result<()> {
    const ICMP6_FILTER: libc::c_int = 1;
    // A bit for each type; those that are set are not heard.
    let mut blocked = [u32::MAX; 8];
    blocked[usize::from(message / 32)] &= !(1 << (message % 32));
    // SAFETY: the value outlives the call, and its size is said.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_ICMPV6,
            ICMP6_FILTER,
            blocked.as_ptr().cast(),
            size_of_val(&blocked) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Receives a packet of IPv6 and what its header said.
pub(crate) fn receive_with_header(socket: &Socket, bytes: &mut [u8]) -> io::Result<About> {
    /// Room for both messages of control, aligned as they must be.
    #[repr(align(8))]
    struct Room([u8; 128]);
    let mut room = Room([0; 128]);
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: plain structures of numbers and pointers, for which all zeroes are valid.
    let (mut from, mut header) =
        unsafe { (std::mem::zeroed::<libc::sockaddr_in6>(), std::mem::zeroed::<libc::msghdr>()) };
    header.msg_name = (&raw mut from).cast();
    header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = room.0.as_mut_ptr().cast();
    header.msg_controllen = room.0.len() as _;
    // SAFETY: every pointer in the header points at something that outlives the call, with its size.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let mut about =
        About { length, source: Ipv6Addr::from(from.sin6_addr.s6_addr), destination: None, hop_limit: None };
    // SAFETY: the kernel has filled `msg_controllen` bytes with whole messages; the macros stay within them, and what a
    // message holds is read without demands on its alignment.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(&raw const header);
        while !message.is_null() {
            let data = libc::CMSG_DATA(message);
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    about.destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                    let hops = data.cast::<libc::c_int>().read_unaligned();
                    about.hop_limit = u8::try_from(hops).ok();
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
    }
    Ok(about)
}

/// The descriptor of something that owns it, for as long as that is borrowed.
pub(crate) fn borrow<T>(_owner: &T, descriptor: RawFd) -> BorrowedFd<'_> {
    // SAFETY: the owner outlives the borrow and keeps the descriptor open.
    unsafe { BorrowedFd::borrow_raw(descriptor) }
}

/// Gives the calling thread real-time priority; its children do not inherit it.
pub(crate) fn real_time() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: REAL_TIME };
    // SAFETY: 0 names the calling thread, and the parameters outlive the call.
    let result =
        unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives the calling thread the highest ordinary priority.
pub(crate) fn highest_nice() -> io::Result<()> {
    // SAFETY: plain numbers; on Linux 0 names the calling thread.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
