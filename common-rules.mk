# Included by every Makefile.am: the include path is the dependency rule (tests/lint checks the rest).
AM_CPPFLAGS = -I$(top_srcdir)/src -I$(top_builddir) -D_GNU_SOURCE \
	-DLIBEXECDIR='"$(libexecdir)"' -DPACKAGE_VERSION_STRING='"$(PACKAGE_VERSION)"' \
	$(CRASH_CPPFLAGS)
AM_CFLAGS = -std=gnu17 -pthread $(WARN_CFLAGS) $(HARDEN_CFLAGS)
AM_LDFLAGS = -pthread $(HARDEN_LDFLAGS)

LIBCOMMON = $(top_builddir)/src/common/libcommon.a
LIBIPC = $(top_builddir)/src/ipc/libipc.a
LIBSANDBOX = $(top_builddir)/src/sandbox/libsandbox.a
LIBHOLD = $(top_builddir)/src/hold/libhold.a
