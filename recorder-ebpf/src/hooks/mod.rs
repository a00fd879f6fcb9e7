//! One hook per file, each with the kernel prototype it relies on.

mod bind;
mod bind4;
mod bind6;
mod cgroup;
mod cgroup_mkdir;
mod cgroup_rmdir;
mod connect;
mod connect4;
mod connect6;
mod inet_sk_error_report;
mod inet_sock_set_state;
mod peer;
mod post_bind;
mod post_bind4;
mod post_bind6;
mod recvmsg;
mod recvmsg4;
mod recvmsg6;
mod sendmsg;
mod sendmsg4;
mod sendmsg6;
mod sock_create;
mod sock_release;
mod sock_send_length;
mod task_file;
