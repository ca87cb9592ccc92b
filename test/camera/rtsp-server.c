/* A real RTSP server for tests, on loopback: rtsp-server PORT PIPELINE [USER PASSWORD] serves PIPELINE as rtsp://127.0.0.1:PORT/live. */
#include <gst/gst.h>
#include <gst/rtsp-server/rtsp-server.h>

static void require_password(GstRTSPServer *server, GstRTSPMediaFactory *factory, const char *user, const char *password) {
  GstRTSPAuth *auth = gst_rtsp_auth_new();
  GstRTSPToken *token = gst_rtsp_token_new(GST_RTSP_TOKEN_MEDIA_FACTORY_ROLE, G_TYPE_STRING, "viewer", NULL);
  gchar *basic = gst_rtsp_auth_make_basic(user, password);
  gst_rtsp_auth_add_basic(auth, basic, token);
  g_free(basic);
  gst_rtsp_token_unref(token);
  gst_rtsp_server_set_auth(server, auth);
  g_object_unref(auth);
  gst_rtsp_media_factory_add_role(factory, "viewer", GST_RTSP_PERM_MEDIA_FACTORY_ACCESS, G_TYPE_BOOLEAN, TRUE,
                                  GST_RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, G_TYPE_BOOLEAN, TRUE, NULL);
}

int main(int argc, char **argv) {
  if (argc != 3 && argc != 5) return 2;
  gst_init(NULL, NULL);
  GstRTSPServer *server = gst_rtsp_server_new();
  gst_rtsp_server_set_address(server, "127.0.0.1");
  gst_rtsp_server_set_service(server, argv[1]);
  GstRTSPMediaFactory *factory = gst_rtsp_media_factory_new();
  gst_rtsp_media_factory_set_launch(factory, argv[2]);
  gst_rtsp_media_factory_set_shared(factory, TRUE);
  if (argc == 5) require_password(server, factory, argv[3], argv[4]);
  GstRTSPMountPoints *mounts = gst_rtsp_server_get_mount_points(server);
  gst_rtsp_mount_points_add_factory(mounts, "/live", factory);
  g_object_unref(mounts);
  if (gst_rtsp_server_attach(server, NULL) == 0) return 1;
  g_print("ready\n");
  g_main_loop_run(g_main_loop_new(NULL, FALSE));
  return 0;
}
