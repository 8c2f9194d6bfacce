# shellcheck shell=sh
# unlinked: files and folders that are open or a process's folder when their name
# goes away; nothing of them is left on the host.

w_guest() {
	probe unlinked
	rm -f probe-unlinked/*
	# A shell that writes to a file without a name, and reads it back.
	exec 4>log 5<log
	rm log
	i=0
	while [ "$i" -lt 200 ]; do
		echo "line $i" >&4
		i=$((i + 1))
	done
	exec 4>&-
	expect_is "$(wc -l <&5 | tr -d ' ')" 200 "lines of a removed log"
	exec 5<&-
	# The current folder of a process goes away.
	mkdir here
	(cd here && rmdir ../here && ls . >/dev/null) || fail "a removed current folder"
	# Several processes, each with one of its own.
	i=0
	while [ "$i" -lt 10 ]; do
		sh -c "exec 3>f$i; rm f$i; echo x >&3" || fail "file $i"
		i=$((i + 1))
	done
}

w_verify() {
	expect_is "$(find . -mindepth 1 ! -name probe-unlinked | wc -l)" 0 "files left on the host"
}
