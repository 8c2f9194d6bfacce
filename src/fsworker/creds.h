/* creds.h - for whom a thread acts.
 *
 * Role: fsworker. Ids, the one supplementary group, CAP_FSETID and the umask are a thread's own, and are
 * switched only when they differ from what the thread has already. Capabilities stay through changes of ids
 * (securebits).
 */
#ifndef VFSD_CREDS_H
#define VFSD_CREDS_H

#include "ipc/messages.h"

int creds_thread_init(int proc_fd) NODISCARD;
int creds_root(void) NODISCARD;
int creds_become(const struct ipc_cred *c) NODISCARD;
int creds_create(const struct ipc_cred *c) NODISCARD;
int creds_fsetid(bool on) NODISCARD;
int creds_dac_override(bool on) NODISCARD;

#endif
