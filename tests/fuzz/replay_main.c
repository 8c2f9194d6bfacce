/* replay_main.c - run a fuzz target over files: each argument is a file or a folder of them. So the corpus is a test
 * wherever there is no libFuzzer.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long runs;

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t size = 0, room = 0;
	int r = -1;

	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	for (;;) {
		size_t n;

		if (size == room) {
			uint8_t *more = realloc(data, room = room ? 2 * room : 65536);

			if (!more)
				break;
			data = more;
		}
		n = fread(data + size, 1, room - size, f);
		size += n;
		if (n == 0) {
			r = ferror(f) ? -1 : 0;
			break;
		}
	}
	fclose(f);
	if (r == 0) {
		/* a copy of the exact size, so that a sanitizer sees each byte read too many */
		uint8_t *exact = malloc(size ? size : 1);

		if (exact) {
			memcpy(exact, data, size);
			LLVMFuzzerTestOneInput(exact, size);
			free(exact);
			runs++;
		}
	}
	free(data);
	return r;
}

static int replay(const char *path)
{
	struct stat st;
	struct dirent *de;
	int r = 0;
	DIR *d;

	if (stat(path, &st)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);
	d = opendir(path);
	if (!d) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	while ((de = readdir(d))) {
		char name[4096];

		if (de->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, de->d_name);
		if (replay(name))
			r = -1;
	}
	closedir(d);
	return r;
}

int main(int argc, char **argv)
{
	int r = 0;

	for (int i = 1; i < argc; i++)
		if (replay(argv[i]))
			r = 1;
	printf("%lu inputs\n", runs);
	return runs ? r : 1;
}
