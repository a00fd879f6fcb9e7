//! Interrupts: a lab is removed before the process ends.

use std::io::Write as _;

use flowtape_lab::leftovers;

/// From now on SIGINT, SIGTERM and SIGHUP remove every lab of this process, then end it.
///
/// The signals are blocked in this thread, and in all that it starts later, and one thread waits for them: that is a
/// place where files may be opened and programs run, which a signal handler is not.
pub(crate) fn clean_up_on_interrupt() {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set that the other calls then use; all pointers are to live locals.
    let set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
        set.assume_init()
    };
    std::thread::spawn(move || {
        let mut signal = 0;
        // SAFETY: the set is initialised and owned by this thread, the number is a live local.
        unsafe { libc::sigwait(&raw const set, &raw mut signal) };
        let own = format!("{}-", std::process::id());
        for id in leftovers::labs().into_iter().filter(|id| id.starts_with(&own)) {
            leftovers::remove(&id);
        }
        let _ = writeln!(std::io::stderr(), "interrupted; the lab has been removed");
        // SAFETY: _exit ends the process at once. The main thread may be anywhere; nothing of it is left to do.
        unsafe { libc::_exit(130) }
    });
}
