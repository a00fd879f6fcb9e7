//! One hook per file, each with the kernel prototype it relies on.

mod cgroup;
mod cgroup_mkdir;
mod cgroup_rmdir;
mod inet_sock_set_state;
