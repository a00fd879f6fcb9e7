//! One hook per file, each with the kernel prototype it relies on.

mod cgroup;
mod cgroup_mkdir;
mod cgroup_rmdir;
mod connect;
mod connect4;
mod connect6;
mod inet_sk_error_report;
mod inet_sock_set_state;
mod peer;
mod recvmsg;
mod recvmsg4;
mod recvmsg6;
mod sendmsg;
mod sendmsg4;
mod sendmsg6;
mod sock_create;
mod sock_send_length;
