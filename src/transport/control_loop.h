/* control_loop.h - the transport's control thread: the VMM's messages, and the monitor's life.
 *
 * Role: transport.
 */
#ifndef VFSD_CONTROL_LOOP_H
#define VFSD_CONTROL_LOOP_H

#include "transport/vhost_dev.h"

/* control_run() - serve one connection until it ends.
 * @monitor_fd: channel to the monitor, borrowed. @socket: the vhost-user socket, taken over; it listens unless
 * @is_connected. @dev: taken over. @state: borrowed. Return the status to exit with. */
int control_run(int monitor_fd, int socket, bool is_connected, struct vhost_dev *dev, struct state *state);

/* control_while_waiting() - for fuse_dev.while_waiting. */
void control_while_waiting(void);

#endif
