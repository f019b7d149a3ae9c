//! The filter of system calls: a list of what a process that carries traffic never does, and what somebody who has taken
//! it over would do first. What is on it fails with EPERM, so that a mistake in the list ends no service.

use std::io;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W,
    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, c_long, sock_filter,
};

/// Places in what a filter is shown (`struct seccomp_data`), in bytes: the call's number, the machine's kind, and the lower
/// half of an argument. Both kinds of machine that this program is built for store the lower half first.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

/// The kind of machine whose numbers these are (`linux/audit.h`): another one has other numbers for the same calls.
#[cfg(target_arch = "x86_64")]
const OWN: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const OWN: u32 = 0xC000_00B7;
/// Numbers from here on are those of x32 programs on x86-64.
const FIRST_OF_X32: u32 = 0x4000_0000;

const ALLOW: u32 = SECCOMP_RET_ALLOW;
const REFUSE: u32 = SECCOMP_RET_ERRNO | libc::EPERM as u32;
/// The C library then uses `clone`, whose flags a filter can see.
const NOT_THERE: u32 = SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// Calls that are refused whatever their arguments.
const REFUSED: &[c_long] = &[
    // Other programs, and other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_personality,
    // Mounts, namespaces, roots.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    // The kernel itself.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_syslog,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The machine's clock and names.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Who it is.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
];

/// Namespaces that `clone` could make.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;
/// Terminal input that is made up (`TIOCSTI`, `TIOCLINUX`).
const TERMINAL_INPUT: [u32; 2] = [0x5412, 0x541C];
/// Kind of a socket, without its flags.
const KIND: u32 = 0xF;
const SOCK_PACKET: u32 = 10;

/// Puts the filter on this thread and those it starts.
pub(super) fn confine() -> io::Result<()> {
    crate::sys::filter_calls(&program())
}

/// Whether the kernel has such filters: this reads the mode of this thread, and changes nothing.
pub(super) fn is_available() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|text| text.contains("\nSeccomp:"))
}

fn program() -> Vec<sock_filter> {
    let mut program = Program(Vec::new());
    program.load(ARCHITECTURE);
    program.unless(OWN, SECCOMP_RET_KILL_PROCESS);
    program.load(NUMBER);
    if cfg!(target_arch = "x86_64") {
        program.push(BPF_JMP | BPF_JGE | BPF_K, FIRST_OF_X32, 0, 1);
        program.answer(REFUSE);
    }
    for number in REFUSED {
        program.when(*number, REFUSE);
    }
    program.when(libc::SYS_clone3, NOT_THERE);
    program.section(libc::SYS_clone, |own| {
        own.load(argument(0));
        own.push(BPF_JMP | BPF_JSET | BPF_K, NAMESPACES as u32, 0, 1);
        own.answer(REFUSE);
        // A thread; another process is none of these.
        own.push(BPF_JMP | BPF_JSET | BPF_K, libc::CLONE_THREAD as u32, 1, 0);
        own.answer(REFUSE);
    });
    program.section(libc::SYS_socket, |own| {
        own.load(argument(0));
        // The last family, too, ends with the next check: each jump skips the refusal.
        own.push(BPF_JMP | BPF_JEQ | BPF_K, libc::AF_UNIX as u32, 3, 0);
        own.push(BPF_JMP | BPF_JEQ | BPF_K, libc::AF_INET as u32, 2, 0);
        own.push(BPF_JMP | BPF_JEQ | BPF_K, libc::AF_INET6 as u32, 1, 0);
        own.answer(REFUSE);
        own.load(argument(1));
        own.push(BPF_ALU | BPF_AND | BPF_K, KIND, 0, 0);
        for kind in [libc::SOCK_RAW as u32, SOCK_PACKET] {
            own.push(BPF_JMP | BPF_JEQ | BPF_K, kind, 0, 1);
            own.answer(REFUSE);
        }
    });
    program.section(libc::SYS_ioctl, |own| {
        own.load(argument(1));
        for request in TERMINAL_INPUT {
            own.push(BPF_JMP | BPF_JEQ | BPF_K, request, 0, 1);
            own.answer(REFUSE);
        }
    });
    // Memory that can be executed: everything there is has been mapped by now.
    for number in [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect] {
        program.section(number, |own| {
            own.load(argument(2));
            own.push(BPF_JMP | BPF_JSET | BPF_K, libc::PROT_EXEC as u32, 0, 1);
            own.answer(REFUSE);
        });
    }
    program.answer(ALLOW);
    program.0
}

/// A filter in the making; while one call's arguments are looked at, its number is not loaded.
struct Program(Vec<sock_filter>);

impl Program {
    fn push(&mut self, code: u32, k: u32, jt: u8, jf: u8) {
        self.0.push(sock_filter { code: code as u16, jt, jf, k });
    }

    fn load(&mut self, place: u32) {
        self.push(BPF_LD | BPF_W | BPF_ABS, place, 0, 0);
    }

    fn answer(&mut self, answer: u32) {
        self.push(BPF_RET | BPF_K, answer, 0, 0);
    }

    /// Answers unless this is loaded.
    fn unless(&mut self, value: u32, answer: u32) {
        self.push(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
        self.answer(answer);
    }

    /// Answers one call.
    fn when(&mut self, number: c_long, answer: u32) {
        self.push(BPF_JMP | BPF_JEQ | BPF_K, number as u32, 0, 1);
        self.answer(answer);
    }

    /// Looks at the arguments of one call; what is not answered there is allowed.
    fn section(&mut self, number: c_long, look: impl FnOnce(&mut Self)) {
        let mut own = Self(Vec::new());
        look(&mut own);
        own.answer(ALLOW);
        let skip = u8::try_from(own.0.len()).expect("a section looks at a handful of arguments");
        self.push(BPF_JMP | BPF_JEQ | BPF_K, number as u32, 0, skip);
        self.0.extend(own.0);
    }
}
