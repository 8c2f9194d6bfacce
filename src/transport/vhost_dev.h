/* vhost_dev.h - the device as the VMM sees it: what each message does.
 *
 * Role: transport; all of it is for the control thread.
 */
#ifndef VFSD_VHOST_DEV_H
#define VFSD_VHOST_DEV_H

#include "ipc/messages.h"
#include "transport/queue.h"
#include "transport/vhost_conn.h"

struct vhost_dev;

struct vhost_dev_params {
	const struct ipc_config_transport *config; /* copied */
	struct fuse_dev *fuse;
	const int *link_fds; /* config->nlinks of them, taken over */
	char *bulk;	     /* the bulk area, mapped: a window of IPC_BULK_LINK bytes for each link */
};

/* vhost_dev_new() - NULL: no memory (nothing is taken over then). */
struct vhost_dev *vhost_dev_new(const struct vhost_dev_params *p);

/* vhost_dev_handle() - do what a message says, or log why not. Return true when *reply is to be sent; then close
 * reply->fd. */
bool vhost_dev_handle(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply);

/* vhost_dev_free() - the VMM is gone: drop what is in flight, end all threads, let go of guest memory. */
void vhost_dev_free(struct vhost_dev *dev);

#endif
