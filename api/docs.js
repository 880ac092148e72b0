SwaggerUIBundle({
  url: "/openapi.yaml", dom_id: "#swagger-ui", deepLinking: true, filter: true, validatorUrl: null,
  showExtensions: true, // x-role
  defaultModelRendering: "model", defaultModelsExpandDepth: 0,
})
