/*
 * A vhost-user front end for virtio-fs that needs no virtual machine.
 *
 * Layers, each usable without those above it:
 *
 *   fuse_client  FUSE requests, and a call for each operation
 *   vuf_dev      connection + memory + rings = a device that is ready for use
 *   vuf_ring     split virtqueues          vuf_mem   guest memory
 *   vuf_msg      vhost-user messages       vuf_daemon  the daemon's process
 *
 * Nothing in it shares a line with the daemon, so that it is a second reading
 * of both protocols. It never allocates memory, and makes no system call but
 * the kick and the sleep, between ring_add() and ring_pop(): a load generator
 * can stand on it. A ring belongs to one thread at a time; gmem_alloc() and
 * vhost-user messages to one thread per device.
 */
#ifndef VUFRONT_H
#define VUFRONT_H

#include "fuse_client.h"
#include "vuf_daemon.h"
#include "vuf_dev.h"
#include "vuf_mem.h"
#include "vuf_msg.h"
#include "vuf_ring.h"

#endif
