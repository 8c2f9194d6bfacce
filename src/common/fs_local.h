/* fs_local.h - is a file on one of the common local file systems?
 *
 * Any role. There the kernel itself knows all about a file: its attributes do not depend on who asks, and to close it tells nobody
 * anything. Network file systems write back and report errors at each close(), check the ids that they are sent, and rename what is
 * removed while it is open. What is not known counts as one of those.
 */
#ifndef VFSD_FS_LOCAL_H
#define VFSD_FS_LOCAL_H

#include "common/base.h"

/* fs_is_local() - of the file system of an open file, O_PATH will do. False also when that cannot be asked. */
bool fs_is_local(int fd) NODISCARD;

#endif
