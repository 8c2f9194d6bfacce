# shellcheck shell=sh
# git: a repository is made, cloned, repacked and checked in the guest, and
# checked again on the host.
# shellcheck disable=SC2034
w_needs="git git-upload-pack cp"
# shellcheck disable=SC2034
w_files="/usr/lib/git-core/git /usr/lib/git-core/git-upload-pack"

git_here() {
	git -c user.name=guest -c user.email=guest@localhost -c init.defaultBranch=main \
		-c gc.autoDetach=false -c safe.directory='*' "$@"
}

w_prepare() {
	mkdir source || return 1
	files=60
	[ "$LONG" != 1 ] || files=2000
	n=0
	while [ "$n" -lt "$files" ]; do
		mkdir -p "source/d$((n % 7))"
		some_bytes $((n * 211 % 9000 + 1)) "$n" >"source/d$((n % 7))/f$n"
		n=$((n + 1))
	done
	ln -s d1 source/link
}

w_guest() {
	git_here init -q repo || fail "git init"
	cp -a source/. repo || fail "copy the files"
	git_here -C repo add -A || fail "git add"
	git_here -C repo commit -q -m first || fail "git commit"
	git_here -C repo checkout -q -b side || fail "git checkout"
	git_here -C repo rm -q -r d3 || fail "git rm"
	git_here -C repo commit -q -m second || fail "git commit"
	git_here -C repo checkout -q main || fail "git checkout back"
	git_here clone -q --no-local repo clone || fail "git clone"
	git_here -C clone fsck --full --strict || fail "git fsck of the clone"
	expect_is "$(git_here -C clone rev-parse HEAD)" "$(git_here -C repo rev-parse main)" "heads"
	git_here -C repo gc -q || fail "git gc"
	git_here -C repo fsck --full --strict || fail "git fsck after gc"
	expect_is "$(git_here -C repo status --porcelain)" "" "git status"
	expect_is "$(git_here -C clone status --porcelain)" "" "git status of the clone"
}

w_verify() {
	git_here -C repo fsck --full --strict || fail "git fsck on the host"
	git_here -C clone fsck --full --strict || fail "git fsck of the clone on the host"
	expect_is "$(git_here -C clone status --porcelain)" "" "git status on the host"
	diff -r --no-dereference -x .git source repo || fail "work tree differs"
	diff -r --no-dereference -x .git source clone || fail "clone differs"
}
