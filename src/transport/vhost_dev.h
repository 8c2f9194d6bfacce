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
	struct state *state; /* borrowed; NULL: nothing outlives the device */
};

/* vhost_dev_new() - NULL: no memory (nothing is taken over then). */
struct vhost_dev *vhost_dev_new(const struct vhost_dev_params *p);

/* vhost_dev_inherit() - become the device that the process before this one left behind: memory, descriptors, everything that was
 * told of the rings. Before its holders end. vhost_dev_resume() - run the rings that ran; after the sandbox. */
void vhost_dev_inherit(struct vhost_dev *dev, const struct state_fetch *f);
void vhost_dev_resume(struct vhost_dev *dev);

/* vhost_dev_obeyed() - note that message `number` was obeyed, with the reply that is due (or NULL). vhost_dev_answered() - was it,
 * by a process before this one? Then *due says whether there is a reply, and *reply what it is. */
void vhost_dev_obeyed(struct vhost_dev *dev, uint32_t number, const struct vhost_reply *reply);
bool vhost_dev_answered(struct vhost_dev *dev, uint32_t number, bool *due, struct vhost_reply *reply);

/* vhost_dev_handle() - do what a message says, or log why not. Return true when *reply is to be sent; then close
 * reply->fd. */
bool vhost_dev_handle(struct vhost_dev *dev, struct vhost_msg *msg, struct vhost_reply *reply);

/* vhost_dev_free() - the VMM is gone: drop what is in flight, end all threads, let go of guest memory. */
void vhost_dev_free(struct vhost_dev *dev);

#endif
