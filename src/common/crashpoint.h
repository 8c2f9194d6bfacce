/* crashpoint.h - places at which a process can be made to die, for tests of what its successor makes of that.
 *
 * Role: all. Nothing at all unless configured with --enable-crash-points, which is not for use.
 */
#ifndef VFSD_CRASHPOINT_H
#define VFSD_CRASHPOINT_H

#ifdef CRASH_POINTS

/* crashpoint_arm() - die at the count-th passing of the named place; NULL: at none. By default the environment's
 * VIRTIOFSD_CRASH_AT="role:name:count" says so, if it names the role of this program. With a "!" before the name it dies of a
 * fault of its own instead of being killed. */
void crashpoint_arm(const char *name, unsigned count);
void crashpoint_pass(const char *name);
#define CRASHPOINT(name) crashpoint_pass(name)

#else
#define CRASHPOINT(name) ((void)0)
#endif

#endif
