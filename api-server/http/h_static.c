#include "api-server/http/internal.h"

#include <string.h>

#include "common/embed.h"
#include "common/jfield.h"
#include "common/yaml.h"

EMBED(openapi_yaml, "schema/openapi.yaml");
EMBED(index_html, "api-server/web/index.html");

static size_t
span(const char *from, const char *to)
{
	return (size_t)(to - from);
}

char *
openapi_json(struct fault *f)
{
	struct ynode *tree;
	json_t *json;
	char *text;

	tree = yaml_parse(openapi_yaml, span(openapi_yaml, openapi_yaml_end), "openapi.yaml", false,
			  f);
	if (!tree)
		return NULL;
	json = yaml_to_json(tree);
	yaml_destroy(tree);
	text = json ? json_text(json) : NULL;
	json_decref(json);
	if (!text)
		fault_set(f, "openapi.yaml", "out of memory");
	return text;
}

void
h_openapi(struct request *r)
{
	reply_static(r, "application/json", r->http->openapi, strlen(r->http->openapi));
}

void
h_index(struct request *r)
{
	reply_static(r, "text/html; charset=utf-8", index_html, span(index_html, index_html_end));
}
