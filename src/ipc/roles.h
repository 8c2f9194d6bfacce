/* roles.h - the fixed descriptors with which the monitor starts every role.
 *
 * All else (sockets, links, memory) arrives by SCM_RIGHTS in the role's CONFIG message on ROLE_FD_MONITOR. Every other
 * descriptor is closed before exec. 0, 1 and 2 are /dev/null.
 */
#ifndef VFSD_ROLES_H
#define VFSD_ROLES_H

#define ROLE_FD_MONITOR 3 /* channel to the monitor; its end means that the monitor is gone */
#define ROLE_FD_LOG 4     /* SOCK_SEQPACKET, write only; see common/log.h */

/* Exit status of roles. */
#define ROLE_EXIT_OK 0      /* told to end, or the VMM is gone */
#define ROLE_EXIT_FAIL 1    /* could not be set up; the reason was logged */
#define ROLE_EXIT_PROTOCOL 3 /* a peer broke the protocol; which rule was logged */

#endif
