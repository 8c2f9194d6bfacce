# shellcheck shell=sh
# hardlinks: many names of one file; one inode with one set of attributes.

w_guest() {
	echo start >file
	mkdir names
	i=0
	while [ "$i" -lt 30 ]; do
		ln file "names/$i" || fail "ln $i"
		i=$((i + 1))
	done
	expect_is "$(stat -c %h file)" 31 "links"
	echo more >>names/22
	expect_is "$(tail -n 1 file)" more "written through another name"
	chmod 0640 names/7
	expect_is "$(stat -c %a names/29)" 640 "mode through another name"
	expect_is "$(stat -c %i names/* | sort -u)" "$(stat -c %i file)" "inode numbers"
	rm names/1?
	expect_is "$(stat -c %h file)" 21 "links after removal"
	# Renaming one name of a file to another of the same does nothing.
	ln file twin
	mv -f file other-name && mv other-name file || fail "mv"
	ln names names-dir 2>/dev/null && fail "a link to a folder"
	ln -s target soft && ln soft soft2 || fail "a link to a symbolic link"
	expect_is "$(readlink soft2)" target "link to a symbolic link"
	rm twin
}

w_verify() {
	expect_is "$(stat -c %h file)" 21 "links on the host"
	expect_is "$(stat -c %h soft)" 2 "links of the symbolic link"
	expect_is "$(find names -samefile file | wc -l)" 20 "names on the host"
	expect_is "$(stat -c %a names/0)" 640 "mode on the host"
}
